// What a provider's tool does with anx-api. The argument is where the API is.
'use strict';

const assert = require('node:assert');
const http = require('node:http');
const { AnxApi } = require('anx-api');

const target = process.argv[2];
const say = (text) => console.log(`anx-api: ${text}`);

function open(options) {
  return new AnxApi({ target, environment: 'node', ...options });
}

// Requests that the client does not count.
function plainGet(agent, token) {
  return new Promise((resolve, reject) => {
    const headers = { Authorization: token };
    http
      .get(`${target}/segment?num_elements=1`, { agent, headers }, (answer) => {
        answer.resume();
        answer.on('end', () => resolve(answer));
      })
      .on('error', reject);
  });
}

async function refused(call, status) {
  const error = await call.then(
    () => assert.fail('it was not refused'),
    (error) => error,
  );
  assert.strictEqual(error.res && error.res.statusCode, status, String(error));
  return error.res.body.response;
}

// Uses up a member's reads behind the client's back; the client then meets a 429, and waits as Retry-After says.
async function throttled() {
  let exceeded = 0;
  const api = open({ onRateLimitExceeded: () => (exceeded += 1) });
  const token = await api.login('throttled', 'Correct-horse-1');
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  let refusals = 0;
  let retryAfter;
  while (refusals === 0) {
    const answers = await Promise.all(Array.from({ length: 20 }, () => plainGet(agent, token)));
    const over = answers.filter((answer) => answer.statusCode === 429);
    refusals += over.length;
    if (over.length > 0) {
      retryAfter = Number(over[0].headers['retry-after']);
    }
  }
  agent.destroy();
  assert.ok(Number.isInteger(retryAfter) && retryAfter >= 1 && retryAfter <= 60, String(retryAfter));
  say(`a member's 1,000 reads are used up, Retry-After ${retryAfter}; the next get waits`);
  const started = Date.now();
  const answer = await api.get('/segment');
  assert.strictEqual(answer.body.response.status, 'OK');
  assert.ok(exceeded >= 1, 'the client met no 429');
  say(`met ${exceeded} 429, waited, and was answered after ${Math.round((Date.now() - started) / 1000)} s`);
}

async function crud() {
  const api = open();
  assert.ok((await api.login('node', 'Correct-horse-1')).startsWith('hbapi:'));
  const created = await api.post('/segment', { segment: { code: 'one', short_name: 'One' } });
  const { id } = created.body.response;
  assert.strictEqual(created.body.response.segment.code, 'one');
  assert.strictEqual(created.headers['x-ratelimit-write'], '1000');
  say(`logged in, created segment ${id}; 1,000 writes a minute`);

  const segments = Array.from({ length: 249 }, (_, n) => ({ code: `seg-${n}`, short_name: `Segment ${n}` }));
  await api.post('/segment', { segments });
  const all = await api.getAll('/segment?sort=id.desc');
  const { response } = all.body;
  assert.strictEqual(response.count, 250);
  assert.strictEqual(new Set(response.segments.map((segment) => segment.id)).size, 250);
  const paged = await api.getAll('/segment', { numElements: 1000 });
  assert.strictEqual(paged.body.response.segments.length, 250);
  say('getAll brought 250 segments, also with pages of 1,000 asked for');

  const one = await api.get('/segment', { params: { id, fields: 'code' } });
  assert.deepStrictEqual(one.body.response[one.body.response.dbg_info.output_term], { id, code: 'one' });
  assert.strictEqual(one.body.response.count, 1);
  const alone = await api.getAll({ uri: '/segment', params: { id } });
  assert.deepStrictEqual(alone.body.response.segment.map((segment) => segment.id), [id]);
  // It writes a list with brackets.
  const [other] = paged.body.response.segments.filter((segment) => segment.id !== id);
  const both = await api.get('/segment', { params: { id: [id, other.id] } });
  assert.deepStrictEqual(both.body.response.segments.map((segment) => segment.id).sort(), [id, other.id].sort());
  const byPath = await api.get(`/segment/2/${id}`);
  assert.strictEqual(byPath.body.response.segment.short_name, 'One');
  assert.ok(Number.isInteger(byPath.body.response.dbg_info.time), 'whole milliseconds');
  const put = await api.put(`/segment?id=${id}`, { segment: { short_name: 'Uno' } });
  assert.strictEqual(put.body.response.segment.short_name, 'Uno');
  assert.strictEqual(put.body.response.segment.code, 'one');
  await api.delete(`/segment?id=${id}`);
  assert.strictEqual((await refused(api.get(`/segment?id=${id}`), 404)).error_id, 'SYNTAX');
  assert.strictEqual((await refused(api.delete(`/segment?id=${id}`), 404)).error_id, 'SYNTAX');
  assert.strictEqual((await refused(api.post('/segment', { segment: { code: 'SEG-1' } }), 409)).error_id, 'INTEGRITY');
  assert.strictEqual((await refused(open({ token: 'hbapi:0:x:y' }).get('/segment'), 401)).error_id, 'NOAUTH');
  say('get, put, delete; a 404, a 409 and a 401 where they belong');
}

Promise.all([throttled(), crud()]).catch((error) => {
  console.error('anx-api:', error);
  process.exit(1);
});
