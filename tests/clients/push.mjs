// One short job with Node's prom-client, for tests/clients/mod.rs.
//
// Usage: push.mjs add|add-gzip|replace|delete URL JOB GROUPINGS-AS-JSON AMOUNT

import client from 'prom-client';

const [mode, url, jobName, groupingsAsJson, amountAsText] = process.argv.slice(2);
const groupings = JSON.parse(groupingsAsJson);
const amount = Number(amountAsText);

const registry = new client.Registry();
const registers = [registry];
const tasks = new client.Counter({
  name: 'tasks_total',
  help: 'Tasks "done" \\ failed.',
  labelNames: ['result'],
  registers,
});
const lastAmount = new client.Gauge({ name: 'last_amount', help: 'Amount of the latest run.', registers });
const seconds = new client.Histogram({
  name: 'task_seconds',
  help: 'Time per task.',
  buckets: [0.25, 1],
  registers,
});
const size = new client.Summary({
  name: 'task_bytes',
  help: 'Size of a run.',
  percentiles: [0.5],
  registers,
});

tasks.inc({ result: 'ok' }, amount);
tasks.inc({ result: 'failed' });
lastAmount.set(amount);
for (let task = 0; task < amount; task++) seconds.observe(0.125);
seconds.observe(0.5);
seconds.observe(2);
size.observe(100 * amount);

// An empty job is for gateways that need none in the path.
const options = { requireJobName: jobName !== '' };
if (mode === 'add-gzip') options.headers = { 'Content-Encoding': 'gzip' };
const pushgateway = new client.Pushgateway(url, options, registry);
const send = { add: 'pushAdd', 'add-gzip': 'pushAdd', replace: 'push', delete: 'delete' }[mode];
await pushgateway[send]({ jobName, groupings });
