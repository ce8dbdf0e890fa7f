// @ts-check
// What every browser test begins and ends with: one server and one browser for a file, and people who come and go.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';

import { Person, Server, launch } from './stage.js';

/** What is said of an own message that arrived, wherever it is by now. */
export const STORED = /^(stored|delivered|read)$/;

export class Play {
  server = new Server();
  /** @type {import('playwright-core').Browser | null} */
  #browser = null;
  /** @type {Person[]} */
  #people = [];

  /** In a file of tests, once. */
  constructor() {
    before(async () => {
      await this.server.start();
      this.#browser = await launch();
    });
    after(async () => {
      await this.#browser?.close();
      await this.server.remove();
    });
  }

  /** @param {string} user @param {import('playwright-core').BrowserContextOptions} [options] */
  async come(user, options) {
    if (this.#browser === null) throw new Error('the play has not begun');
    const person = await Person.come(this.#browser, this.server, user, options);
    this.#people.push(person);
    return person;
  }

  /** A page that is online. @param {string} user @param {string} [address] the conversation @param {import('playwright-core').BrowserContextOptions} [options] */
  async page(user, address, options) {
    const page = await (await this.come(user, options)).open(address);
    await page.locator('#dot.is-online').waitFor({ state: 'attached' });
    return page;
  }

  /** Everybody goes; nobody may have complained. */
  async leave() {
    for (const person of this.#people.splice(0)) {
      await person.context.close();
      assert.deepEqual(person.complaints, [], `${person.user}'s page`);
    }
  }
}

/**
 * The message with exactly this text: what is beside it, the time say, does not count.
 * @param {import('playwright-core').Page} page @param {string} text
 */
export const bubble = (page, text) => page.locator('#messages .row', { has: page.getByText(text, { exact: true }) });

/** Opens the menu of a message and chooses. @param {import('playwright-core').Page} page @param {string} text @param {string} item */
export async function choose(page, text, item) {
  await bubble(page, text).first().hover();
  await bubble(page, text).first().getByRole('button', { name: 'What to do with this message' }).click();
  await page.getByRole('menuitem', { name: item }).click();
}
