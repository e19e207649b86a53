// What a provider's tool does with anx-api. The argument is where the API is.
'use strict';

const assert = require('node:assert');
const http = require('node:http');
const zlib = require('node:zlib');
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

// The client reads and writes JSON; what is no JSON, a file, goes out as any program sends one.
function upload(url, file) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'POST', timeout: 5000 }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece) => (text += piece));
      answer.on('end', () => resolve({ status: answer.statusCode, body: JSON.parse(text) }));
    });
    request.on('error', reject);
    request.end(file);
  });
}

async function files() {
  const api = open();
  await api.login('node', 'Correct-horse-1');
  const { id } = (await api.post('/segment', { segment: { code: 'files' } })).body.response;
  const made = (await api.post('/batch-segment?member_id=2')).body.response;
  const job = made[made.dbg_info.output_term];
  assert.strictEqual(made.count, 1);
  assert.strictEqual(job.member_id, 2);
  const lines = Array.from({ length: 1000 }, (_, user) => `${user + 1}:${id},60,${user}\n`).join('');
  const sent = await upload(job.upload_url, zlib.gzipSync(lines));
  assert.strictEqual(sent.status, 200, JSON.stringify(sent.body));
  assert.strictEqual(sent.body.response.segment_upload.job_id, job.job_id);
  let shown = {};
  for (let poll = 0; poll < 100 && shown.percent_complete !== 100; poll += 1) {
    const answer = await api.get('/batch-segment', { params: { member_id: 2, job_id: job.job_id } });
    shown = answer.body.response[answer.body.response.dbg_info.output_term];
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.strictEqual(shown.phase, 'completed', JSON.stringify(shown));
  assert.strictEqual(shown.num_valid_user, 1000);
  assert.strictEqual(shown.error_code, null);
  assert.strictEqual(shown.segment_log_lines, `${id}:1000`);
  await api.post('/batch-segment');
  const history = await api.getAll('/batch-segment?member_id=2', { numElements: 1 });
  const listed = history.body.response.batch_segment_upload_job;
  assert.deepStrictEqual(listed.map((one) => one.phase), ['starting', 'completed']);
  const none = await refused(api.get('/batch-segment?job_id=x'), 404);
  assert.deepStrictEqual([none.error_id, none.errors], ['SYNTAX', [none.error]]);
  say(`uploaded a file by job ${job.id}, read its status and the history of 2 jobs; an unknown one is a 404`);
}

Promise.all([throttled(), crud().then(files)]).catch((error) => {
  console.error('anx-api:', error);
  process.exit(1);
});
