// What scripts/browser-check does: node browser-check.mjs LIBRARY BINARY
//
// The server is https://localhost:PORT; the pages that call it are http://127.0.0.1:PORT, which is another site to a
// browser. So cookies only come back where they are "SameSite=None; Secure".

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";

const [library, binary] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(library);
const PASSWORD = "Correct-horse-1";
const dir = mkdtempSync(path.join(tmpdir(), "browser-check-"));
const checks = [];
let server;
let browser;

function check(what) {
  checks.push(what);
  console.log(`ok ${what}`);
}

/// A site: /page?html=… is that page, all else is an empty one.
async function site() {
  const hits = [];
  const listener = http.createServer((request, response) => {
    const url = new URL(request.url, "http://site");
    hits.push(request.url);
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(`<!doctype html><title>a page</title>${url.searchParams.get("html") ?? ""}`);
  });
  await new Promise((done) => listener.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${listener.address().port}`;
  return { origin, hits, close: () => listener.close(), page: (html) => `${origin}/page?html=${encodeURIComponent(html)}` };
}

function prepare() {
  const [key, cert, catalog, data] = ["key.pem", "cert.pem", "catalog.json", "data"].map((name) => path.join(dir, name));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], { stdio: "ignore" });
  const login = (username, user_type) => ({ username, password: PASSWORD, member_id: 958, user_type });
  writeFileSync(catalog, JSON.stringify({
    members: [{ id: 958, name: "Provider", use_external_uids: true }],
    users: [login("provider", "member"), login("bidder", "bidder")],
    segments: [{ id: 12, member_id: 958 }, { id: 13, member_id: 958, code: "cars" }, { id: 14, member_id: 958 }],
  }));
  execFileSync(binary, ["apply", catalog, "--data-dir", data], { stdio: "ignore" });
  return { key, cert, data };
}

async function serve({ key, cert, data }, pages) {
  server = spawn(binary, ["serve", "--data-dir", data, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      INSTANT_AUDIENCE__SERVER__LOG_LEVEL: "warn",
      INSTANT_AUDIENCE__TLS__CERT: cert,
      INSTANT_AUDIENCE__TLS__KEY: key,
      INSTANT_AUDIENCE__PIXELS__ENABLED: "true",
      INSTANT_AUDIENCE__PIXELS__REDIRECT_HOSTS: new URL(pages).host,
      INSTANT_AUDIENCE__PIXELS__CORS_ORIGINS: pages,
    },
  });
  let said = "";
  return new Promise((ready, failed) => {
    server.once("exit", (code) => failed(new Error(`the server ended with ${code}`)));
    server.stdout.on("data", (bytes) => {
      const port = (said += bytes).match(/^ready api=\S+:(\d+) /)?.[1];
      if (port) ready(`https://localhost:${port}`);
    });
  });
}

/// A call of the API, as a provider or a bidder makes it.
function call(api, method, target, token, body) {
  return new Promise((done, failed) => {
    const options = { method, headers: token ? { Authorization: token } : {}, rejectUnauthorized: false, family: 4 };
    const request = https.request(api + target, options, async (response) => {
      let text = "";
      for await (const part of response) text += part;
      response.statusCode === 200 ? done(JSON.parse(text).response) : failed(new Error(`${target}: ${text}`));
    });
    request.on("error", failed);
    request.end(body && JSON.stringify(body));
  });
}

async function run() {
  const [own, foreign] = [await site(), await site()];
  const api = await serve(prepare(), own.origin);
  const login = async (username) => (await call(api, "POST", "/auth", null, { auth: { username, password: PASSWORD } })).token;
  const [provider, bidder] = [await login("provider"), await login("bidder")];
  const segments = async (id) =>
    (await call(api, "GET", `/user-segment?user_id=${id}`, bidder)).user_segment.segments.map((segment) => segment.id);

  // Chromium has a switch for cookies of other sites, and packages that ship with it off. Here it is on: what is
  // tried is what the server does in browsers that take them.
  const profile = path.join(dir, "profile");
  mkdirSync(path.join(profile, "Default"), { recursive: true });
  const choice = { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } };
  writeFileSync(path.join(profile, "Default", "Preferences"), JSON.stringify(choice));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim(),
    ignoreHTTPSErrors: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  browser = context;
  const page = await context.newPage();
  const cookie = async () => (await context.cookies(api)).find(({ name }) => name === "uuid2");
  /// Opens a page that calls a pixel by an element, and waits until it has loaded.
  const show = async (site, tag, target) => {
    await page.goto(site.page(`<${tag} src="${api}${target}" onload="window.done=true" onerror="window.done=false"></${tag}>`));
    await page.waitForFunction(() => window.done !== undefined);
    return page.evaluate(() => window.done);
  };
  const ask = (site) => page.goto(site.page("")).then(() => page.evaluate(
    (url) => fetch(url, { credentials: "include" }).then((answer) => answer.text(), () => "refused"), `${api}/getuidj`));

  assert.equal(await show(own, "img", "/seg?add=12&member=958"), true);
  const first = await cookie();
  assert.deepEqual([first.httpOnly, first.secure, first.sameSite], [true, true, "None"]);
  assert.ok(BigInt(first.value) > 0n && first.expires > Date.now() / 1000 + 300 * 24 * 3600);
  check("a page of another site sets the cookie: Secure, HttpOnly, SameSite=None");
  assert.deepEqual(await segments(first.value), [12]);
  check("the browser is in the segment");

  assert.equal(await ask(own), `{"uid":${first.value}}`);
  check("a page that the operator has named reads the id, and the cookie came back");
  assert.equal(await ask(foreign), "refused");
  check("a page that he has not named reads nothing");

  await call(api, "POST", "/rt-segment", provider, { rt_segment: [{ user_id: "cart-1", seg_block: [{ seg_code: "cars", member_id: 958 }] }] });
  assert.equal(await show(foreign, "img", "/mapuid?member=958&user=cart-1"), true);
  assert.deepEqual(await segments(first.value), [12, 13]);
  check("the mapping joins what the provider had sent under its own id");
  assert.equal(await show(own, "script", "/seg?add=14&remove=12&t=1"), true);
  assert.deepEqual(await segments(first.value), [13, 14]);
  check("the pixel runs as a script");

  await page.goto(own.page(`<script>function got(answer){window.got=answer.uid}</script><script src="${api}/getuidp?callback=got"></script>`));
  assert.equal(await page.evaluate(() => window.got), Number(first.value));
  check("the callback is called with the id");

  await page.goto(`${api}/getuid?${encodeURIComponent(`${own.origin}/landed?id=$UID&x=1`)}`);
  assert.equal(page.url(), `${own.origin}/landed?id=${first.value}&x=1`);
  await page.goto(`${api}/seg?add=12&member=958&redir=${encodeURIComponent(`${own.origin}/thanks`)}`);
  assert.equal(page.url(), `${own.origin}/thanks`);
  check("redirects to a named host are followed");
  const hits = foreign.hits.length;
  for (const target of [`${foreign.origin}/x`, `//${new URL(foreign.origin).host}/x`, `${own.origin}@${new URL(foreign.origin).host}/x`]) {
    assert.equal((await page.goto(`${api}/getuid?${encodeURIComponent(target)}`)).status(), 400);
    assert.equal(new URL(page.url()).origin, api);
  }
  assert.equal(foreign.hits.length, hits);
  check("redirects to others are refused");

  await page.goto(`${api}/optout`);
  await page.click("button");
  assert.match(await page.textContent("#state"), /has opted out/);
  assert.equal((await cookie()).value, "0");
  await show(own, "img", "/seg?add=12&member=958");
  await show(own, "img", "/mapuid?member=958&user=cart-1");
  assert.equal((await cookie()).value, "0");
  assert.equal(await ask(own), '{"uid":0}');
  assert.deepEqual(await segments(first.value), []);
  check("opting out is honoured: the id is 0, and nothing is stored of it");
  const form = `<form method="post" action="${api}/optout"><input name="choice" value="in"><input name="token" value="${"0".repeat(32)}"></form><script>document.forms[0].submit()</script>`;
  const refused = page.waitForResponse((answer) => answer.url() === `${api}/optout`);
  await page.goto(foreign.page(form)).catch(() => {});
  assert.equal((await refused).status(), 403);
  await page.waitForURL(`${api}/optout`);
  assert.equal((await cookie()).value, "0");
  check("a form of another site does not undo it");
  await page.goto(`${api}/optout`);
  await page.click("button");
  assert.match(await page.textContent("#state"), /has not opted out/);
  const second = await cookie();
  assert.ok(second.value !== "0" && second.value !== first.value);
  await show(own, "img", "/seg?add=12&member=958");
  assert.deepEqual(await segments(second.value), [12]);
  check("who opts in again gets a new id");
  own.close();
  foreign.close();
  console.log(`figure: browser: checks=${checks.length} chromium=${context.browser().version()}`);
}

try {
  await run();
} catch (error) {
  console.error(`failed after: ${checks.at(-1) ?? "nothing"}\n${error.stack}`);
  process.exitCode = 1;
} finally {
  await browser?.close();
  if (server && server.exitCode === null) {
    server.removeAllListeners("exit");
    const ended = new Promise((done) => server.once("exit", done));
    server.kill();
    await ended;
  }
  rmSync(dir, { recursive: true, force: true });
}
// Sites with open connections must not keep it from ending.
process.exit();
