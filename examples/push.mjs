// Push from a short Node job with prom-client.
//
//   npm install prom-client
//   GATEWAY=http://localhost:9091 node push.mjs
//
// `pushAdd` sends a POST, which adds: every run of this job raises the counter and the histogram
// that all runs share. `push` sends a PUT, which replaces everything that the group (here: job
// "send_mail", tenant "acme") has pushed so far.

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

// Groupings become labels of every pushed series.
const pushgateway = new client.Pushgateway(gateway, { timeout: 10_000 }, registry);
await pushgateway.pushAdd({ jobName: 'send_mail', groupings: { tenant: 'acme' } });
console.log(`pushed to ${gateway}`);
