// @ts-check
// What the browser tests play on: a real `postrider dev` in a directory of its own, and a real browser.
//
// POSTRIDER_BIN   the server; default: target/release/postrider, or target/debug/postrider
// CHROMIUM_BIN    the browser; default: /usr/bin/chromium
// SCREENSHOTS     where pictures go; default: none are taken
// FROM_TREE=1     takes the page from this tree and not from the binary, to work on it without building

import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SCREENSHOTS = process.env.SCREENSHOTS ?? '';
const FROM_TREE = process.env.FROM_TREE === '1';
const READY_MS = 30_000;
/** The page may take so long for what a person would wait for. */
const PATIENCE_MS = 10_000;

/** @returns {string} */
function binary() {
  const built = ['release', 'debug'].map((profile) => join(ROOT, 'target', profile, 'postrider'));
  const found = process.env.POSTRIDER_BIN ?? built.find(existsSync);
  if (found === undefined) throw new Error('build the server first (cargo build), or set POSTRIDER_BIN');
  return found;
}

/** The server reads its configuration from POSTRIDER_…: what is meant for this test must not reach it. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('POSTRIDER_')));

/** A port that was free a moment ago. @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

export class Server {
  #dir = mkdtempSync(join(tmpdir(), 'postrider-chat-'));
  /** @type {Record<string, number>} */
  #ports = {};
  /** @type {import('node:child_process').ChildProcess | null} */
  #child = null;
  #log = '';

  /** Starts on ports of its own, or again on the same. */
  async start() {
    const names = ['listeners.tcp', 'listeners.tls', 'listeners.ws', 'listeners.wss', 'http'];
    for (const name of names) this.#ports[name] ??= await freePort();
    const settings = names.flatMap((name) => ['--set', `${name}.addr=127.0.0.1:${this.#ports[name]}`]);
    const args = ['dev', '--dir', this.#dir, ...settings, '--set', 'limits.user_rate=0'];
    const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'pipe'], env: ENV });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        this.#log += chunk;
      });
    }
    const end = Date.now() + READY_MS;
    while (!(await this.#isReady())) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`the server did not start:\n${this.#log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #isReady() {
    try {
      return (await fetch(`${this.url}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  /** What it has said. */
  get log() {
    return this.#log;
  }

  get url() {
    return `http://127.0.0.1:${this.#ports.http}`;
  }

  /** Ends it as a power cut would. */
  async kill() {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async remove() {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** `postrider send` as `user`. @param {string} user @param {string} to @param {string} text */
  async send(user, to, text) {
    const args = ['send', ...this.#as(user), '--to', to, '--text', text, '--json'];
    const { stdout } = await promisify(execFile)(binary(), args, { env: ENV, timeout: READY_MS });
    return JSON.parse(stdout);
  }

  /** The first `count` messages of `postrider listen` as `user`. @param {string} user @param {number} count @returns {Promise<any[]>} */
  async listen(user, count) {
    const args = ['listen', ...this.#as(user), '--count', String(count), '--json'];
    const { stdout } = await promisify(execFile)(binary(), args, { env: ENV, timeout: READY_MS });
    return stdout.trim().split('\n').map((line) => JSON.parse(line));
  }

  /** @param {string} user */
  #as(user) {
    return ['--addr', `127.0.0.1:${this.#ports['listeners.tcp']}`, '--token-file', join(this.#dir, `${user}.token`)];
  }
}

/** @returns {Promise<import('playwright-core').Browser>} */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      // A page that does not come from an address may not connect to this machine.
      ...(FROM_TREE ? ['--disable-features=LocalNetworkAccessChecks'] : []),
    ],
  });
}

/** @type {Record<string, string>} */
const MIMES = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };

/** The file of the tree that the page has at `path`. @param {string} path below `/chat/` */
function inTree(path) {
  const name = path === '' ? 'index.html' : path;
  const file = name.startsWith('client/') ? join(ROOT, 'clients/js', name.slice(7)) : join(ROOT, 'console/chat', name);
  const mime = MIMES[name.slice(name.lastIndexOf('.') + 1)];
  return mime !== undefined && existsSync(file) ? { file, mime } : null;
}

const POLICY = (/** @type {string} */ ws) => `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; `
  + `connect-src 'self' ${ws}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** A person at a browser of their own. */
export class Person {
  /** What the page did wrong: exceptions, and what its policy forbade. @type {string[]} */
  complaints = [];
  #server;

  /** @param {Server} server @param {string} user @param {import('playwright-core').BrowserContext} context */
  constructor(server, user, context) {
    this.#server = server;
    this.user = user;
    this.context = context;
  }

  /**
   * @param {import('playwright-core').Browser} browser @param {Server} server @param {string} user
   * @param {import('playwright-core').BrowserContextOptions} [options]
   */
  static async come(browser, server, user, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1180, height: 760 }, locale: 'en-GB', ...options });
    if (FROM_TREE) {
      const { ws } = await (await fetch(`${server.url}/dev/token?user=alice`)).json();
      await context.route(`${server.url}/chat/**`, (route) => {
        const found = inTree(new URL(route.request().url()).pathname.slice('/chat/'.length));
        if (found === null) return route.fulfill({ status: 404, body: 'no such page' });
        const headers = { 'content-type': found.mime, 'content-security-policy': POLICY(new URL(ws).origin) };
        return route.fulfill({ headers, body: readFileSync(found.file) });
      });
    }
    return new Person(server, user, context);
  }

  /** Opens the page. @param {string} [address] the conversation */
  async open(address = '') {
    const page = await this.context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      const text = message.text();
      // A lost connection is the network's affair, and the page says so itself.
      if (message.type() === 'error' && !/WebSocket|ERR_CONNECTION/.test(text)) this.complaints.push(text);
    });
    await page.goto(`${this.#server.url}/chat/?user=${this.user}${address === '' ? '' : `#${address}`}`);
    return page;
  }
}

/** @param {import('playwright-core').Page} page @param {string} name */
export async function picture(page, name) {
  if (SCREENSHOTS === '') return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), animations: 'disabled' });
}

/** Writes and sends. @param {import('playwright-core').Page} page @param {string} text */
export async function say(page, text) {
  await page.getByLabel('Message', { exact: true }).fill(text);
  await page.keyboard.press('Enter');
}

/** The texts of the bubbles. @param {import('playwright-core').Page} page */
export function texts(page) {
  return page.locator('#messages .text').allTextContents();
}
