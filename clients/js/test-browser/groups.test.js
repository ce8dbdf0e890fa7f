// @ts-check
// Groups in the chat page, against a real server.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Play, STORED, bubble } from './play.js';
import { picture, say } from './stage.js';

const play = new Play();

/** @param {import('playwright-core').Page} page @param {string} text */
const note = (page, text) => page.locator('#messages .note', { hasText: text });
/** @param {import('playwright-core').Page} page @param {string} user */
const member = (page, user) => page.locator('#panel .member', { hasText: user });

/** @param {import('playwright-core').Page} page @param {string} user @param {string} item */
async function chooseFor(page, user, item) {
  await member(page, user).getByRole('button', { name: `More about ${user}` }).click();
  await page.getByRole('menuitem', { name: item }).click();
}

test('groups: made, written to, joined, left; events are lines', async () => {
  const [alice, bob] = [await play.page('alice'), await play.page('bob')];
  await alice.getByRole('button', { name: 'New group' }).click();
  await alice.getByLabel('Group id').fill('riders');
  await alice.getByLabel('Name', { exact: true }).fill('The Riders');
  await alice.getByRole('textbox', { name: 'Members' }).fill('bob, carol');
  await picture(alice, 'new-group');
  await alice.getByRole('button', { name: 'Create' }).click();
  await note(alice, 'You created the group with bob and carol').waitFor();
  await alice.locator('#title', { hasText: 'The Riders' }).waitFor();
  await say(alice, 'Welcome, riders.');
  await bob.getByRole('link', { name: 'The Riders' }).click();
  await bubble(bob, 'Welcome, riders.').waitFor();
  await note(bob, 'alice created the group with you and carol').waitFor();
  await say(bob, 'Thank you!');
  await bubble(alice, 'Thank you!').waitFor();

  await alice.locator('#title-button').click();
  await member(alice, 'alice (you)').waitFor();
  await alice.getByLabel('Add members').fill('dave');
  await alice.keyboard.press('Enter');
  await member(alice, 'dave').waitFor();
  await chooseFor(alice, 'carol', 'Remove');
  await member(alice, 'carol').waitFor({ state: 'detached' });
  await alice.getByLabel('Add members').fill('dave');
  await alice.keyboard.press('Enter');
  await alice.getByText('That is taken already').waitFor();
  await chooseFor(alice, 'bob', 'Make admin');
  await member(alice, 'bob').getByText('admin').waitFor();
  await alice.getByLabel('Announcement').fill('We ride at dawn.');
  await alice.getByRole('button', { name: 'Save' }).first().click();
  await note(alice, 'You announced: We ride at dawn.').waitFor({ state: 'attached' });
  await picture(alice, 'panel');
  await alice.locator('#panel').getByRole('button', { name: 'Close' }).click();
  await note(bob, 'alice added dave').waitFor();
  await note(bob, 'alice removed carol').waitFor();
  await note(bob, 'alice made you an admin').waitFor();
  await picture(alice, 'group');

  await bob.locator('#title-button').click();
  await picture(bob, 'panel-admin');
  await bob.getByRole('button', { name: 'Leave the group' }).click();
  await bob.getByRole('button', { name: 'Leave', exact: true }).click();
  await bob.getByText('not a member of this group any more').waitFor();
  await note(alice, 'bob left').waitFor();
  await picture(bob, 'left');
  await play.leave();
});

test('a group that is not there, or is none of one’s own, refuses', async () => {
  const bob = await play.page('bob', 'group:nosuch');
  await say(bob, 'anybody?');
  await bob.getByText('Not sent: there is no such group').waitFor();
  await picture(bob, 'refused');
  await bob.getByRole('button', { name: 'Discard' }).click();
  await bubble(bob, 'anybody?').waitFor({ state: 'detached' });
  await play.leave();
});

test('who is approved joins: asked, accepted, written to', async () => {
  const [alice, bob] = [await play.page('alice'), await play.page('bob')];
  await alice.getByRole('button', { name: 'New group' }).click();
  await alice.getByLabel('Group id').fill('club');
  await alice.getByLabel('Who may join').selectOption('Who is approved');
  await alice.getByRole('button', { name: 'Create' }).click();
  await note(alice, 'You created the group').waitFor();

  await bob.goto(`${bob.url().split('#')[0]}#group:club`);
  await bob.getByText('The admins of this group decide who joins.').waitFor();
  await picture(bob, 'join');
  await bob.getByRole('button', { name: 'Ask to join' }).click();
  await bob.getByText('You asked to join').first().waitFor();

  await alice.locator('#title-button').click();
  await alice.getByRole('button', { name: 'Accept' }).click();
  await member(alice, 'bob').waitFor();
  await alice.locator('#panel').getByRole('button', { name: 'Close' }).click();
  await bob.getByLabel('Message', { exact: true }).waitFor();
  await say(bob, 'I am in.');
  await bubble(alice, 'I am in.').waitFor();
  await play.leave();
});

test('only admins write while the others are muted, and nobody when the group has ended', async () => {
  const [alice, bob] = [await play.page('alice', 'group:club'), await play.page('bob', 'group:club')];
  await bubble(alice, 'I am in.').waitFor();
  await alice.locator('#title-button').click();
  await alice.getByLabel('Only admins may write').check();
  await note(bob, 'alice let only admins write').waitFor();
  await bob.getByText('Only admins may write here now.').waitFor();
  await alice.getByLabel('Only admins may write').uncheck();
  await bob.getByLabel('Message', { exact: true }).waitFor();
  await say(bob, 'Free again.');
  await bubble(bob, 'Free again.').getByText(STORED).waitFor();
  await alice.getByRole('button', { name: 'End the group' }).click();
  await alice.locator('#ask-dialog').getByRole('button', { name: 'End the group' }).click();
  await note(bob, 'alice ended the group').waitFor();
  await bob.getByText('This group was ended.').waitFor();
  assert.ok(!(await bob.locator('#compose').isVisible()));
  await play.leave();
});

test('a name behind an at sign is completed, and shows to whom it is', async () => {
  const alice = await play.page('alice');
  await alice.getByRole('button', { name: 'New group' }).click();
  await alice.getByLabel('Group id').fill('mentions');
  await alice.getByRole('textbox', { name: 'Members' }).fill('bob, barbara');
  await alice.getByRole('button', { name: 'Create' }).click();
  await note(alice, 'You created the group').waitFor();
  await alice.getByLabel('Message', { exact: true }).pressSequentially('Ask @b');
  await alice.getByRole('option', { name: '@barbara' }).waitFor();
  await picture(alice, 'completion');
  await alice.keyboard.press('ArrowDown');
  await alice.keyboard.press('Enter');
  await alice.getByLabel('Message', { exact: true }).pressSequentially('about it');
  await alice.keyboard.press('Enter');
  await bubble(alice, 'Ask @bob about it').getByText(STORED).waitFor();
  const bob = await play.page('bob');
  await bob.locator('.badge.is-mention').waitFor();
  await picture(bob, 'mention-list');
  await bob.getByRole('link', { name: 'mentions' }).click();
  await bob.locator('.mention.is-me', { hasText: '@bob' }).waitFor();
  await picture(bob, 'mention');
  await play.leave();
});
