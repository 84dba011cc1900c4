// Push from a short Node job with prom-client.
//
//   npm install prom-client
//   GATEWAY=http://localhost:9091 node push.mjs
//
// `pushAdd` sends a POST, which adds: every run of this job raises the counter and the histogram
// that all runs share. `push` sends a PUT, which replaces everything that the group (here: job
// "send_mail", tenant "acme") has pushed so far.

import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';

import client from 'prom-client';

const gateway = process.env.GATEWAY ?? 'http://localhost:9091';

// A registry of its own, so that only what is named below is pushed.
const registry = new client.Registry();
const mails = new client.Counter({
  name: 'mails_sent_total',
  help: 'Mails sent.',
  labelNames: ['result'],
  registers: [registry],
});
const seconds = new client.Histogram({
  name: 'mail_send_seconds',
  help: 'Time to send one mail.',
  buckets: [0.1, 0.5, 1, 5],
  registers: [registry],
});

// The job counts its own work only, from 0: the gateway keeps the total.
for (let mail = 0; mail < 20; mail++) {
  mails.inc({ result: Math.random() < 0.9 ? 'ok' : 'bounced' });
  seconds.observe(Math.random());
}

// Without an answer, nobody knows whether a push was counted. The key makes it safe to send it again:
// the gateway counts only one of the tries. Each push needs its own key, so a Pushgateway of its own.
const options = { timeout: 10_000, headers: { 'Idempotency-Key': randomUUID() } };
const pushgateway = new client.Pushgateway(gateway, options, registry);
for (let wait = 1000; ; wait *= 2) {
  try {
    // Groupings become labels of every pushed series.
    await pushgateway.pushAdd({ jobName: 'send_mail', groupings: { tenant: 'acme' } });
    break;
  } catch (error) {
    // A push that is refused is refused again.
    if (wait > 16_000 || /status 4\d\d/.test(error.message)) throw error;
    await setTimeout(wait);
  }
}
console.log(`pushed to ${gateway}`);
