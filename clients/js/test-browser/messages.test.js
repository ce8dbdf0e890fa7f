// @ts-check
// What is done with messages in the chat page, against a real server.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Play, STORED, bubble, choose } from './play.js';
import { picture, say, texts } from './stage.js';

const play = new Play();

test('an answer shows what it answers, and leads there', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await say(alice, 'Shall we meet at nine?');
  await bubble(bob, 'Shall we meet at nine?').waitFor();
  await choose(bob, 'Shall we meet at nine?', 'Reply');
  await picture(bob, 'replying');
  await say(bob, 'Ten is better.');
  await bubble(alice, 'Ten is better.').getByRole('button', { name: 'Shall we meet at nine?' }).click();
  await alice.locator('.row.is-flashed').waitFor();
  await play.leave();
});

test('a thread is opened at a message, answered in, and counted for everybody', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await say(alice, 'Where do we eat?');
  await bubble(bob, 'Where do we eat?').waitFor();
  await choose(bob, 'Where do we eat?', 'Answer in thread');
  const thread = bob.getByRole('dialog', { name: 'Thread' });
  await thread.getByText('alice: Where do we eat?').waitFor();
  await thread.getByText('No answers yet.').waitFor();
  await thread.getByLabel('Answer').fill('At the inn');
  await thread.getByRole('button', { name: 'Send', exact: true }).click();
  await thread.getByRole('listitem').getByText('At the inn').waitFor();
  await bubble(alice, 'Where do we eat?').getByRole('button', { name: '1 answer' }).click();
  const same = alice.getByRole('dialog', { name: 'Thread' });
  await same.getByRole('listitem').getByText('At the inn').waitFor();
  await same.getByLabel('Answer').fill('At eight');
  await same.getByLabel('Answer').press('Enter');
  await thread.getByRole('listitem').getByText('At eight').waitFor();
  await picture(alice, 'thread');
  await same.getByRole('button', { name: 'Close' }).click();
  await picture(alice, 'answers');
  await bob.reload();
  await bubble(bob, 'Where do we eat?').getByRole('button', { name: '2 answers' }).waitFor();
  await play.leave();
});

test('a message is written for later, changed, and sent when its time has come', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await alice.getByRole('button', { name: 'Send later' }).click();
  await alice.getByText('Write the message first').waitFor();
  for (const text of ['Happy birthday', 'See you tomorrow']) {
    await alice.getByLabel('Message', { exact: true }).first().fill(text);
    await alice.getByRole('button', { name: 'Send later' }).click();
    await picture(alice, 'later-menu');
    await alice.getByRole('menuitem', { name: 'Tomorrow at nine' }).click();
    await alice.getByText(/^It is sent /).waitFor();
  }
  await alice.getByRole('button', { name: '2 scheduled' }).click();
  const list = alice.getByRole('dialog', { name: 'Scheduled' });
  await picture(alice, 'scheduled');
  await list.getByRole('listitem').filter({ hasText: 'See you tomorrow' }).getByRole('button', { name: 'Delete' }).click();
  await list.getByRole('listitem').filter({ hasText: 'Happy birthday' }).getByRole('button', { name: 'Change' }).click();
  const form = alice.getByRole('dialog', { name: 'Send later' });
  await form.getByLabel('Text').fill('Happy birthday!');
  await picture(alice, 'when');
  await form.getByRole('button', { name: 'Schedule' }).click();
  await alice.reload();
  await alice.getByRole('button', { name: '1 scheduled' }).click();
  await list.getByRole('listitem').filter({ hasText: 'Happy birthday!' }).getByRole('button', { name: 'Send now' }).click();
  await bubble(bob, 'Happy birthday!').waitFor();
  await bubble(alice, 'Happy birthday!').waitFor();
  await alice.getByRole('button', { name: '1 scheduled' }).waitFor({ state: 'hidden' });
  await play.leave();
});

test('what is written while a message is being scheduled stays', async () => {
  const alice = await play.page('alice', 'user:bob');
  const box = alice.getByLabel('Message', { exact: true }).first();
  await box.fill('Good morning');
  await alice.getByRole('button', { name: 'Send later' }).click();
  await alice.getByRole('menuitem', { name: 'Tomorrow at nine' }).evaluate((item) => {
    item.click();
    const text = /** @type {HTMLTextAreaElement} */ (document.querySelector('#text'));
    text.value += 'And now';
    text.dispatchEvent(new Event('input', { bubbles: true }));
  });
  await alice.getByRole('button', { name: '1 scheduled' }).click();
  assert.equal(await box.inputValue(), 'And now');
  const list = alice.getByRole('dialog', { name: 'Scheduled' });
  await list.getByRole('listitem').filter({ hasText: 'Good morning' }).getByRole('button', { name: 'Delete' }).click();
  await list.waitFor({ state: 'hidden' });
  await play.leave();
});

test('a menu stays open while messages come, and follows the message that it belongs to', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  const painted = () => alice.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await say(bob, Array.from({ length: 60 }, (_, line) => `Line ${line}`).join(' \n'));
  await say(bob, 'Read this');
  await bubble(alice, 'Read this').waitFor();

  await alice.getByLabel('Message', { exact: true }).first().fill('Later, perhaps');
  await alice.getByRole('button', { name: 'Send later' }).click();
  await say(bob, 'And this');
  await bubble(alice, 'And this').waitFor();
  await painted();
  assert.equal(await alice.getByRole('menuitem', { name: 'Tomorrow at nine' }).count(), 1);
  await alice.keyboard.press('Escape');

  const button = bubble(alice, 'Read this').getByRole('button', { name: 'What to do with this message' });
  const menu = alice.getByRole('menu');
  const tops = async () => Promise.all([button, menu].map(async (one) => (await one.boundingBox())?.y ?? Number.NaN));
  await bubble(alice, 'Read this').hover();
  await button.click();
  const [buttonBefore, menuBefore] = await tops();
  await say(bob, 'This too');
  await bubble(alice, 'This too').waitFor();
  await painted();
  const [buttonAfter, menuAfter] = await tops();
  assert.ok(buttonAfter < buttonBefore, `${buttonAfter}, ${buttonBefore} before`);
  assert.equal(menuAfter - buttonAfter, menuBefore - buttonBefore);
  await picture(alice, 'menu-followed');
  await alice.locator('#scroll').evaluate((scroll) => scroll.scrollTo({ top: 0 }));
  await menu.waitFor({ state: 'detached' });
  await play.leave();
});

test('an own message is edited, from the menu and from the keyboard', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await say(alice, 'Teh first');
  await bubble(bob, 'Teh first').waitFor();
  await choose(alice, 'Teh first', 'Edit');
  await picture(alice, 'editing');
  await say(alice, 'The first');
  for (const page of [alice, bob]) await bubble(page, 'The first').getByText('edited', { exact: true }).waitFor();
  await alice.getByLabel('Message', { exact: true }).press('ArrowUp');
  assert.equal(await alice.getByLabel('Message', { exact: true }).inputValue(), 'The first');
  await say(alice, 'The very first');
  await bubble(bob, 'The very first').waitFor();
  await bob.reload();
  await bubble(bob, 'The very first').getByText('edited', { exact: true }).waitFor();
  await play.leave();
});

test('reactions are given, counted and taken back', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await say(alice, 'Good news!');
  await bubble(bob, 'Good news!').hover();
  await bubble(bob, 'Good news!').getByRole('button', { name: 'React' }).click();
  await picture(bob, 'picker');
  await bob.getByRole('menuitem', { name: '🎉' }).click();
  await bubble(alice, 'Good news!').getByRole('button', { name: '🎉, 1' }).click();
  await bubble(bob, 'Good news!').getByRole('button', { name: '🎉, 2' }).waitFor();
  await picture(alice, 'reactions');
  await bob.reload();
  await bubble(bob, 'Good news!').getByRole('button', { name: '🎉, 2', pressed: true }).click();
  await bubble(alice, 'Good news!').getByRole('button', { name: '🎉, 1', pressed: true }).waitFor();
  await play.leave();
});

test('a message is deleted for everybody: at once, in the list, and after a reload', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await say(alice, 'A secret');
  await bubble(bob, 'A secret').waitFor();
  await choose(alice, 'A secret', 'Delete…');
  await picture(alice, 'delete');
  await alice.getByRole('button', { name: 'Delete for everybody' }).click();
  await bubble(bob, 'A secret').waitFor({ state: 'detached' });
  for (const page of [alice, bob]) await page.locator('.entry-line.is-erased', { hasText: 'Message deleted' }).waitFor();
  await bob.reload();
  await bob.locator('.text.is-erased').waitFor();
  assert.ok(!(await texts(bob)).includes('A secret'));
  await picture(bob, 'deleted');
  await play.leave();
});

test('a message is deleted for oneself alone', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await say(bob, 'Not for long');
  await choose(alice, 'Not for long', 'Delete…');
  await alice.getByRole('button', { name: 'Delete for me' }).click();
  await bubble(alice, 'Not for long').waitFor({ state: 'detached' });
  await alice.reload();
  await bubble(alice, 'Good news!').waitFor();
  assert.ok(!(await texts(alice)).includes('Not for long'));
  assert.ok((await texts(bob)).includes('Not for long'));
  await play.leave();
});

test('a pinned message stands above the conversation', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await say(alice, 'The door code is 4711.');
  await bubble(alice, 'The door code is 4711.').getByText(STORED).waitFor();
  await choose(alice, 'The door code is 4711.', 'Pin');
  await bob.getByRole('button', { name: 'Go to the pinned message' }).getByText('The door code is 4711.').waitFor();
  await picture(bob, 'pinned');
  await choose(alice, 'The door code is 4711.', 'Unpin');
  await bob.getByRole('button', { name: 'Go to the pinned message' }).waitFor({ state: 'hidden' });
  await play.leave();
});

test('everything can be done from the keyboard', async () => {
  const alice = await play.page('alice', 'user:bob');
  await bubble(alice, 'The door code is 4711.').waitFor();
  await alice.keyboard.press('Shift+Tab');
  await alice.keyboard.press('ArrowUp');
  await alice.keyboard.press('ArrowDown');
  await alice.keyboard.press('Enter');
  await alice.getByRole('menuitem', { name: 'Reply' }).waitFor();
  await alice.keyboard.press('Escape');
  await alice.getByRole('menu').waitFor({ state: 'detached' });
  assert.equal(await alice.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'What to do with this message');
  await play.leave();
});

test('what is no text is told in words, and nothing dangerous becomes a link', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await alice.evaluate(async () => {
    const path = '/chat/client/client.js';
    const { PostriderClient } = await import(path);
    const { token, ws } = await (await fetch('/dev/token?user=alice')).json();
    const client = new PostriderClient({ url: ws, user: 'alice', device: 'bot', token });
    client.connect();
    /** @param {string} what @param {Record<string, unknown>} content */
    const send = (what, content) => client.send('user:bob', JSON.stringify(content), { contentType: `application/vnd.postrider.${what}+json` });
    send('image', { url: 'https://example.com/cat.png', size: 34_000, text: 'My cat' });
    send('voice', { url: 'https://example.com/a.ogg', duration_ms: 61_000 });
    send('file', { url: 'javascript:alert(1)', name: 'notes.pdf', size: 1_200_000 });
    send('location', { latitude: 52.52, longitude: 13.405, name: 'The office' });
    send('card', { user: 'dave', name: 'Dave' });
    client.send('user:bob', '<b>bytes</b>', { contentType: 'application/x-custom' });
  });
  await bob.getByRole('link', { name: '🖼 Picture (34 kB)' }).waitFor();
  await bob.getByText('My cat').waitFor();
  await bob.getByRole('link', { name: '🎤 Voice message (1:01)' }).waitFor();
  await bob.getByText('📄 notes.pdf (1.2 MB)').first().waitFor();
  assert.equal(await bob.getByRole('link', { name: 'notes.pdf' }).count(), 0);
  await bob.getByRole('link', { name: '📍 The office: 52.52000, 13.40500' }).waitFor();
  await bob.getByText('👤 Dave (user:dave)').waitFor();
  await bob.locator('#messages').getByText('12 bytes').waitFor();
  await picture(bob, 'contents');
  await play.leave();
});
