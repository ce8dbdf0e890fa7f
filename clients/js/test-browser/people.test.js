// @ts-check
// People and conversations in the chat page, against a real server: who they are, whether they are there, what was read.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Play, STORED, bubble } from './play.js';
import { picture, say } from './stage.js';

const play = new Play();

/** @param {import('playwright-core').Page} page @param {string} name @param {string} item */
async function chooseFor(page, name, item) {
  await page.locator('.entry-row', { hasText: name }).hover();
  await page.getByRole('button', { name: `More about ${name}` }).click();
  await page.getByRole('menuitem', { name: item, exact: true }).click();
}

test('who is online, who writes, what was delivered and read', async () => {
  const alice = await play.page('alice', 'user:bob');
  await say(alice, 'Are you there?');
  await bubble(alice, 'Are you there?').getByText('stored', { exact: true }).waitFor();
  const bob = await play.page('bob');
  await bubble(alice, 'Are you there?').getByText('delivered', { exact: true }).waitFor({ timeout: 20_000 });
  await alice.locator('#subtitle', { hasText: 'online' }).waitFor();
  await bob.getByRole('link', { name: 'alice' }).click();
  await bubble(alice, 'Are you there?').getByText('read', { exact: true }).waitFor();
  await bob.getByLabel('Message', { exact: true }).pressSequentially('Yes');
  await alice.locator('#subtitle', { hasText: 'writing' }).waitFor();
  await picture(alice, 'writing');
  await bob.keyboard.press('Enter');
  await bubble(alice, 'Yes').waitFor();
  await alice.locator('#subtitle', { hasText: 'online' }).waitFor();
  await picture(alice, 'read');
  await play.leave();
});

test('a name of one’s own shows to others', async () => {
  const bob = await play.page('bob');
  await bob.getByRole('button', { name: 'Profile and devices' }).click();
  await bob.locator('#settings').getByLabel('Name', { exact: true }).fill('Bob Baker');
  await bob.getByLabel('About you').fill('Rides at dawn.');
  await bob.locator('#settings').getByRole('button', { name: 'Save' }).click();
  await bob.locator('#me', { hasText: 'Bob Baker' }).waitFor();
  await picture(bob, 'settings');
  const alice = await play.page('alice', 'user:bob');
  await alice.locator('#title', { hasText: 'Bob Baker' }).waitFor();
  await alice.locator('#title-button').click();
  await alice.getByText('Rides at dawn.').waitFor();
  await picture(alice, 'person');
  await play.leave();
});

test('a blocked user cannot write, until that ends', async () => {
  const [alice, bob] = [await play.page('alice', 'user:bob'), await play.page('bob', 'user:alice')];
  await say(alice, 'You have been warned.');
  await bubble(bob, 'You have been warned.').waitFor();
  await alice.locator('#title-button').click();
  await alice.getByRole('button', { name: 'Block' }).click();
  await alice.getByRole('button', { name: 'Unblock' }).waitFor();
  await alice.locator('#person').getByRole('button', { name: 'Close' }).click();
  await alice.getByText('You blocked this user.').waitFor();
  await say(bob, 'Hello?');
  await bob.getByText('Not sent: one of you has blocked the other').waitFor();
  await alice.getByRole('button', { name: 'Profile and devices' }).click();
  await alice.locator('#settings').getByRole('button', { name: 'Unblock' }).click();
  await alice.locator('#settings').getByRole('button', { name: 'Unblock' }).waitFor({ state: 'detached' });
  await bob.getByRole('button', { name: 'Send again' }).click();
  await bubble(bob, 'Hello?').getByText(STORED).waitFor();
  await play.leave();
});

test('a removed device is signed out', async () => {
  const [one, other] = [await play.page('bob'), await play.page('bob')];
  await one.getByRole('button', { name: 'Profile and devices' }).click();
  await one.getByRole('button', { name: 'Remove all others' }).click();
  await picture(one, 'devices');
  await one.locator('#ask-dialog').getByRole('button', { name: 'Remove' }).click();
  await other.getByText('The server refused: this device was removed').waitFor();
  await one.getByRole('button', { name: 'Remove all others' }).waitFor({ state: 'detached' });
  await play.leave();
});

test('conversations are pinned, muted, marked and hidden', async () => {
  const alice = await play.page('alice');
  for (const user of ['dora', 'emil', 'fred']) {
    await alice.goto(`${alice.url().split('#')[0]}#user:${user}`);
    await say(alice, `Hello ${user}`);
    await bubble(alice, `Hello ${user}`).getByText(STORED).waitFor();
  }
  await chooseFor(alice, 'dora', 'Pin to top');
  await alice.locator('#list li').first().getByText('dora', { exact: true }).waitFor();
  await chooseFor(alice, 'emil', 'Mute');
  await chooseFor(alice, 'emil', 'Mark as unread');
  await alice.locator('.badge.is-mark').waitFor();
  await picture(alice, 'list');
  await chooseFor(alice, 'fred', 'Hide until something new');
  await alice.locator('.entry-row', { hasText: 'fred' }).waitFor({ state: 'detached' });
  await alice.reload();
  await alice.locator('#list li').first().getByText('dora', { exact: true }).waitFor();
  await alice.locator('.badge.is-mark').waitFor();
  assert.equal(await alice.locator('.entry-row', { hasText: 'fred' }).count(), 0);
  await play.leave();
});
