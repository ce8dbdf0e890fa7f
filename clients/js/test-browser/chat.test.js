// @ts-check
// The chat page in a browser, against a real server.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Play, STORED, bubble } from './play.js';
import { picture, say, texts } from './stage.js';

const play = new Play();
const { server } = play;
/** @param {string} user @param {import('playwright-core').BrowserContextOptions} [options] */
const come = (user, options) => play.come(user, options);
const leave = () => play.leave();

/** @param {import('playwright-core').Page} page @param {string[]} expected */
async function shows(page, expected) {
  await bubble(page, /** @type {string} */ (expected.at(-1))).last().waitFor();
  assert.deepEqual(await texts(page), expected);
}

test('asks who one is', async () => {
  const person = await come('nobody');
  const page = await person.open();
  await page.getByText('No token for nobody').waitFor();
  await page.goto(`${server.url}/chat/`);
  await page.getByText('Who are you?').waitFor();
  await picture(page, 'welcome');
  await page.getByRole('link', { name: 'alice' }).click();
  await page.getByText('No conversations yet').waitFor();
  await picture(page, 'empty');
  person.complaints = person.complaints.filter((text) => !text.includes('404'));
  await leave();
});

test('two people exchange messages, and a reload keeps them', async () => {
  const [alice, bob] = [await (await come('alice')).open(), await (await come('bob', { colorScheme: 'dark' })).open()];
  await bob.locator('#dot.is-online').waitFor();
  await alice.getByLabel('Start a chat with').fill('bob');
  await alice.keyboard.press('Enter');
  await alice.getByText('Nothing here yet').waitFor();
  await say(alice, 'Hello Bob!');
  await bubble(alice, 'Hello Bob!').getByText(STORED).waitFor();

  await bob.locator('.badge', { hasText: '1' }).waitFor();
  await bob.getByRole('link', { name: 'alice' }).click();
  await shows(bob, ['Hello Bob!']);
  await bob.locator('.badge').waitFor({ state: 'detached' });
  await say(bob, 'Hi Alice. <b>Not bold</b> & safe?');
  await say(bob, 'Two lines:\nhere is the second one, which goes on for a while so that one sees how a long line breaks.');
  await say(alice, 'All safe 🙂');
  const said = ['Hello Bob!', 'Hi Alice. <b>Not bold</b> & safe?', 'Two lines:\nhere is the second one, which goes on for a while so that one sees how a long line breaks.', 'All safe 🙂'];
  await shows(alice, said);
  await shows(bob, said);
  await picture(alice, 'two-light');
  await picture(bob, 'two-dark');

  await alice.reload();
  await shows(alice, said);
  assert.equal(await alice.locator('.badge').count(), 0);
  assert.match(alice.url(), /#user:bob$/);
  await leave();
});

test('Shift+Enter makes a line, Enter sends; nothing empty is sent', async () => {
  const alice = await (await come('alice')).open('user:carol');
  await alice.locator('#dot.is-online').waitFor();
  assert.ok(await alice.getByRole('button', { name: 'Send', exact: true }).isDisabled());
  await alice.getByLabel('Message', { exact: true }).pressSequentially('one');
  await alice.keyboard.press('Shift+Enter');
  await alice.getByLabel('Message', { exact: true }).pressSequentially('two');
  await alice.keyboard.press('Enter');
  await alice.keyboard.press('Enter');
  await bubble(alice, 'one two').getByText(STORED).waitFor();
  assert.deepEqual(await texts(alice), ['one\ntwo']);
  await leave();
});

test('the page and the command line talk to each other', async () => {
  const alice = await (await come('alice')).open('user:dora');
  await alice.locator('#dot.is-online').waitFor();
  await server.send('bob', 'user:alice', 'from a terminal');
  await alice.locator('.badge').waitFor();
  await alice.getByRole('link', { name: 'from a terminal' }).click();
  await bubble(alice, 'from a terminal').waitFor();
  await say(alice, 'from the page');
  await bubble(alice, 'from the page').getByText(STORED).waitFor();
  const heard = await server.listen('bob', 1);
  assert.ok(heard.length === 1);
  await leave();
});

test('what is written while the server is away is sent, once, when it is back', async () => {
  const [alice, bob] = [await (await come('alice')).open('user:bob'), await (await come('bob')).open('user:alice')];
  for (const page of [alice, bob]) await page.locator('#dot.is-online').waitFor();
  await say(alice, 'before');
  await bubble(bob, 'before').waitFor();
  await server.kill();
  await alice.getByText('No connection').waitFor();
  await alice.getByText(/Trying again in \d+ s/).waitFor();
  await say(alice, 'while away');
  await bubble(alice, 'while away').getByText('sending').waitFor();
  await picture(alice, 'offline');
  await server.start();
  const online = alice.locator('#dot.is-online');
  // It may have come back by itself meanwhile.
  await alice.getByRole('button', { name: 'Try now' }).click({ timeout: 1_000 }).catch(() => online.waitFor());
  await bubble(alice, 'while away').getByText(STORED).waitFor();
  await bubble(bob, 'while away').waitFor();
  await alice.locator('#banner').waitFor({ state: 'hidden' });
  for (const page of [alice, bob]) {
    assert.deepEqual((await texts(page)).slice(-2), ['before', 'while away']);
  }
  await leave();
});

test('lines that are written while the server is killed, twice, arrive once and in order', async () => {
  const [alice, bob] = [await (await come('alice')).open('user:bob'), await (await come('bob')).open('user:alice')];
  for (const page of [alice, bob]) await page.locator('#dot.is-online').waitFor();
  const lines = Array.from({ length: 150 }, (_, n) => `stormy ${n}`);
  const writing = (async () => {
    for (const line of lines) await say(alice, line);
  })();
  for (let n = 0; n < 2; n += 1) {
    await bubble(alice, `stormy ${20 + n * 60}`).waitFor();
    await server.kill();
    await server.start();
  }
  await writing;
  for (const page of [alice, bob]) {
    // The back-off may have come to its 30 s.
    await page.locator('#dot.is-online').waitFor({ timeout: 40_000 });
    await bubble(page, 'stormy 149').getByText(page === alice ? STORED : 'stormy').waitFor();
    assert.deepEqual((await texts(page)).filter((text) => text.startsWith('stormy')), lines);
  }
  await leave();
});

test('a second window takes over, and the first can take it back', async () => {
  const person = await come('alice');
  const first = await person.open('user:bob');
  await first.locator('#dot.is-online').waitFor();
  const second = await person.open('user:bob');
  await second.locator('#dot.is-online').waitFor();
  await first.getByText('open in another window').waitFor();
  await picture(first, 'replaced');
  await first.getByRole('button', { name: 'Use here' }).click();
  await first.locator('#dot.is-online').waitFor();
  await second.getByText('open in another window').waitFor();
  await leave();
});

test('history is loaded upwards, page by page, and stays in place', async () => {
  const alice = await (await come('alice')).open('user:historian');
  await alice.locator('#dot.is-online').waitFor();
  const count = 130;
  for (let n = 1; n <= count; n += 1) await say(alice, `line ${n}`);
  await bubble(alice, `line ${count}`).getByText(STORED).waitFor();
  await alice.reload();
  await bubble(alice, `line ${count}`).waitFor();
  const loaded = (await texts(alice)).length;
  assert.ok(loaded >= 50 && loaded < count, `${loaded} lines at first`);
  for (let n = 0; n < 20 && (await alice.getByText('This is the beginning').count()) === 0; n += 1) {
    await alice.locator('#scroll').evaluate((scroll) => scroll.scrollTo(0, 0));
    await alice.waitForFunction(() => document.getElementById('messages')?.getAttribute('aria-busy') === 'false');
  }
  assert.deepEqual(await texts(alice), Array.from({ length: count }, (_, n) => `line ${n + 1}`));
  await alice.locator('#scroll').evaluate((scroll) => scroll.scrollTo(0, scroll.scrollHeight / 2));
  await alice.getByRole('button', { name: 'Newest' }).waitFor();
  await picture(alice, 'history');
  await alice.getByRole('button', { name: 'Newest' }).click();
  await alice.getByRole('button', { name: 'Newest' }).waitFor({ state: 'hidden' });
  await leave();
});

test('unread: a line where the new ones begin, a number in the title', async () => {
  const bob = await (await come('bob')).open('user:alice');
  await bob.locator('#dot.is-online').waitFor();
  await bubble(bob, 'stormy 149').waitFor();
  await say(bob, 'I have read all of it');
  await bubble(bob, 'I have read all of it').getByText(STORED).waitFor();
  await bob.keyboard.press('Escape');
  await bob.getByText('Choose a conversation').waitFor();
  for (const text of ['first news', 'second news']) await server.send('alice', 'user:bob', text);
  await bob.locator('.badge', { hasText: '2' }).waitFor();
  assert.match(await bob.title(), /^\(2\) bob/);
  await picture(bob, 'unread');
  await bob.getByRole('link', { name: 'second news' }).click();
  await bob.getByText('New messages').waitFor();
  await bob.locator('.badge').waitFor({ state: 'detached' });
  await picture(bob, 'new-line');

  // More new ones than fit: the thread begins where they begin.
  await bob.keyboard.press('Escape');
  const alice = await (await come('alice')).open('user:bob');
  await alice.locator('#dot.is-online').waitFor();
  for (let n = 1; n <= 40; n += 1) await say(alice, `flood ${n}`);
  await bob.locator('.badge', { hasText: '40' }).waitFor();
  await bob.getByRole('link', { name: 'flood 40' }).click();
  await bob.getByRole('button', { name: '40 new' }).waitFor();
  assert.ok(await bubble(bob, 'flood 1').first().isVisible());
  await picture(bob, 'flood');
  await bob.getByRole('button', { name: '40 new' }).click();
  await bob.locator('.badge').waitFor({ state: 'detached' });
  await leave();
});

test('on a phone: the list, then the conversation, and back', async () => {
  const person = await come('alice', { viewport: { width: 390, height: 780 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
  const alice = await person.open();
  await alice.getByRole('link', { name: /^B ?bob|bob/ }).first().waitFor();
  await picture(alice, 'phone-list');
  await alice.locator('#list a[href="#user:bob"]').click();
  await bubble(alice, 'flood 40').waitFor();
  assert.ok(!(await alice.locator('.sidebar').isVisible()));
  await picture(alice, 'phone-thread');
  const wide = await alice.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(wide, 0, 'nothing sticks out sideways');
  await alice.getByRole('link', { name: 'Back to conversations' }).click();
  await alice.locator('#list').waitFor();
  await leave();
});
