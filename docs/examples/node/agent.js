// A Promptwire agent in Node: resolves, watches, keeps a lease, resumes, starts over after a resync. It follows
// docs/protocol.md, whose points are named here, and needs no option of gRPC's but keepalive.
//
//   npm install && node agent.js localhost:50051 default greeting production
//
// prints a line of JSON for what the reference means at first, and for each change of that or of its freshness.
'use strict';

const path = require('node:path');
const { randomUUID } = require('node:crypto');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const PROTOS = process.env.PROMPTWIRE_PROTOS || path.join(__dirname, '..', '..', '..', 'protos');
const { promptwire } = grpc.loadPackageDefinition(
  loader.loadSync('promptwire/v1/prompt_service.proto', { includeDirs: [PROTOS], longs: String, defaults: true, oneofs: true }),
);
const KEEPALIVE = { 'grpc.keepalive_time_ms': 20000, 'grpc.keepalive_timeout_ms': 5000 }; // pings: at most every 10 s
const key = (token) => token.toString('hex');

class Agent {
  constructor(target, namespace, { leaseMs = 15000, renewMs = 5000, onChange = () => {} } = {}) {
    Object.assign(this, { namespace, leaseMs, renewMs, onChange, clientId: randomUUID() });
    this.client = new promptwire.v1.PromptService(target, grpc.credentials.createInsecure(), KEEPALIVE);
    this.prompts = new Map(); // name -> { aliases, prompt, bodies }: bodies are those that the last state listed
    this.seen = null; // the newest revision seen: reads ask for at least that
    this.position = null; // where the stream is; null: the next stream does not resume
    this.replacing = true; // the next update replaces all that was told
    this.confirmedAt = -Infinity; // when the Renew was sent whose bookmark came last, by this process's clock
    this.backoffMs = 100;
    this.closed = false;
  }

  // What a reference means now: one call, again while the service is away or stops, until the deadline.
  async resolve(reference, timeoutMs = 5000) {
    const deadline = Date.now() + timeoutMs;
    for (let waitMs = 50; ; waitMs = Math.min(2 * waitMs, 2000)) {
      try {
        const answer = await this.call('Resolve', { reference, read: { minRevision: this.seen } }, deadline);
        this.observe(answer.info.revision);
        return answer.version;
      } catch (error) {
        const passing = error.code === grpc.status.UNAVAILABLE || error.code === grpc.status.CANCELLED;
        if (!passing || Date.now() + waitMs >= deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, waitMs * (0.5 + Math.random() / 2)));
      }
    }
  }

  call(method, request, deadline) {
    return new Promise((resolve, reject) => {
      const done = (error, answer) => (error ? reject(error) : resolve(answer));
      this.client[method]({ namespace: this.namespace, ...request }, { deadline }, done);
    });
  }

  observe(revision) {
    const older = this.seen && this.seen.epoch === revision.epoch && BigInt(revision.number) < BigInt(this.seen.number);
    if (!older) this.seen = revision;
  }

  // Keeps an alias right from now on. `held`: what `resolve` brought, which is not sent again.
  follow(name, alias, held) {
    const known = this.prompts.get(name) || { aliases: new Set(), prompt: null, bodies: new Map() };
    this.prompts.set(name, known);
    known.aliases.add(alias);
    if (held) known.bodies.set(held.version, held);
    if (!this.stream) this.open();
    else this.send({ subscribe: { subscriptions: [this.subscription(name, known)] } });
  }

  // What it means, and whether that is known to be right within the lease. From memory: no call.
  get(name, alias) {
    const known = this.prompts.get(name);
    const prompt = known && known.prompt;
    if (!prompt || prompt.deleteTime) return null;
    const body = known.bodies.get(alias === 'latest' ? prompt.latestVersion : prompt.aliases[alias]);
    return body ? { version: Number(body.version), text: body.content.text, fresh: this.fresh } : null;
  }

  get fresh() {
    return performance.now() - this.confirmedAt < this.leaseMs;
  }

  subscription(name, { aliases, bodies }) {
    return { name, aliases: [...aliases], held: [...bodies.values()].map((body) => body.token) };
  }

  open() { // "Resuming": after what was told whole; else from the start, with what is held
    const subscriptions = [...this.prompts].map(([name, known]) => this.subscription(name, known));
    const resume = this.replacing ? null : this.position;
    const stream = this.client.Watch();
    Object.assign(this, { stream, parts: [], nonce: 0, renews: new Map() });
    stream.on('data', (message) => stream === this.stream && this.receive(message));
    stream.on('error', (error) => this.ended(stream, error.message)); // whatever the code: see "How a stream ends"
    stream.on('end', () => this.ended(stream, 'the service ended the stream'));
    this.send({ hello: { namespace: this.namespace, clientId: this.clientId, clientName: 'node', resume, subscriptions } });
    this.renew();
    this.timer = setInterval(() => this.renew(), this.renewMs);
  }

  renew() {
    const oldest = this.renews.values().next().value;
    if (performance.now() - oldest > 2 * this.leaseMs) return this.ended(this.stream, 'no answer for two leases');
    this.renews.set(String(++this.nonce), performance.now());
    this.send({ renew: { nonce: this.nonce } });
    this.onChange(); // it may have become stale
  }

  send(request) {
    this.stream.write(request);
  }

  receive(message) {
    try {
      this[`on_${message.message}`]?.(message[message.message]); // what a newer service says besides is no concern
    } catch (error) { // "Order": start over, and do not resume
      this.replacing = true;
      this.ended(this.stream, error.message);
    }
  }

  on_update(update) {
    const last = this.parts.at(-1);
    if (last && last.revision.number !== update.revision.number) throw new Error('parts of different revisions');
    if (!this.replacing && (update.prevRevision !== this.position.number || update.revision.epoch !== this.position.epoch)) {
      throw new Error(`a gap: an update from ${update.prevRevision} at ${this.position.number}`);
    }
    this.parts.push(update);
    if (update.more) return;
    if (this.replacing) this.prompts.forEach((known) => (known.prompt = null));
    for (const state of this.parts.flatMap((part) => part.states)) this.apply(state);
    Object.assign(this, { parts: [], position: update.revision, replacing: false });
    this.observe(update.revision);
    this.onChange();
  }

  apply(state) { // "Bodies": what a state does not list no longer counts
    const known = this.prompts.get(state.name);
    if (!known) return;
    if (!state.continues) {
      const held = new Set(state.held.map(key));
      for (const [version, body] of known.bodies) if (!held.delete(key(body.token))) known.bodies.delete(version);
      if (held.size) throw new Error(`a body of ${state.name} is relied on and is not here`);
      known.prompt = state.prompt;
    }
    for (const body of state.versions) known.bodies.set(body.version, body);
  }

  on_bookmark({ nonce, revision }) { // "Bookmarks": right at the moment when the Renew was sent
    const sentAt = this.renews.get(nonce);
    for (const one of this.renews.keys()) if (BigInt(one) <= BigInt(nonce)) this.renews.delete(one);
    if (this.replacing || sentAt === undefined) return;
    Object.assign(this, { position: revision, confirmedAt: Math.max(this.confirmedAt, sentAt), backoffMs: 100 });
    this.seen = revision;
    this.onChange();
  }

  on_resync() {
    Object.assign(this, { parts: [], replacing: true }); // the old state serves until what replaces it is complete
  }

  on_goodbye({ retryAfterMs }) {
    this.ended(this.stream, 'goodbye', Number(retryAfterMs));
  }

  ended(stream, why, waitMs) {
    if (stream !== this.stream) return;
    clearInterval(this.timer);
    this.stream = null;
    stream.cancel();
    if (this.closed) return;
    const jittered = this.backoffMs * (0.5 + Math.random() / 2);
    if (waitMs === undefined) this.backoffMs = Math.min(2 * this.backoffMs, 30000);
    setTimeout(() => this.closed || this.stream || this.open(), waitMs ?? jittered);
    this.onChange(why);
  }

  close() {
    this.closed = true;
    if (this.stream) this.ended(this.stream, 'closed');
    this.client.close();
  }
}

async function main([target, namespace, name, alias, leaseMs = '15000']) {
  let told = '';
  const tell = () => {
    const line = JSON.stringify(agent.get(name, alias));
    if (line !== told && line !== 'null') console.log((told = line));
  };
  const agent = new Agent(target, namespace, { leaseMs: Number(leaseMs), renewMs: Number(leaseMs) / 3, onChange: tell });
  agent.follow(name, alias, await agent.resolve(`${name}@${alias}`));
  process.on('SIGTERM', () => agent.close());
}

module.exports = { Agent };
if (require.main === module) main(process.argv.slice(2));
