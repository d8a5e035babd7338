/**
 * The amends plugin for Vendure: `plugins: [AmendsPlugin.init({ url, secrets })]`; see README.md.
 *
 * It sends the whole of an order to amends whenever something of it changes (snapshot.js), and adds
 * to the Admin API what amends uses to record here what it did there (record.js).
 */
'use strict';

const crypto = require('node:crypto');
const { setTimeout: pause } = require('node:timers/promises');
const {
  ConfigService,
  EventBus,
  FulfillmentStateTransitionEvent,
  JobQueueService,
  Logger,
  Order,
  OrderEvent,
  OrderLineEvent,
  OrderStateTransitionEvent,
  PaymentStateTransitionEvent,
  PluginCommonModule,
  RefundEvent,
  RefundStateTransitionEvent,
  TransactionalConnection,
  VendurePlugin,
} = require('@vendure/core');
const { snapshot } = require('./snapshot');
const { guarded, Recorder, resolvers, schema } = require('./record');

const QUEUE = 'amends';
const RETRIES = 1_000_000; // until amends takes it: about four months at a pause of ten seconds
const PAUSE_FIRST = 250; // ms
const PAUSE_MAX = 10_000; // ms; a shop that stops waits twenty seconds for a running job
const ANSWER_WITHIN = 15_000; // ms
const REMEMBERED = 1_000; // orders

const CHANGES = [
  OrderStateTransitionEvent,
  PaymentStateTransitionEvent,
  RefundStateTransitionEvent,
  RefundEvent,
  OrderLineEvent,
  OrderEvent,
  FulfillmentStateTransitionEvent,
];

class AmendsPlugin {
  /**
   * `url` is `https://…/webhooks/NAME`, NAME being the connection of this shop in amends.toml.
   * `secrets` are its webhook_secrets, `whsec_…`: each signs, so that a new one can be added on
   * both sides before the old one is taken away.
   */
  static init({ url, secrets }) {
    if (!url || !secrets || !secrets.length) {
      throw new Error('AmendsPlugin.init wants a url and at least one of the secrets');
    }
    AmendsPlugin.options = { url, keys: secrets.map(key) };
    return AmendsPlugin;
  }

  constructor(eventBus, jobs, connection, config) {
    Object.assign(this, { eventBus, jobs, connection, config });
    this.known = new Map();
    this.failures = 0;
    this.version = 0;
  }

  async onModuleInit() {
    this.queue = await this.jobs.createQueue({ name: QUEUE, process: job => this.tell(job) });
    // A job of the SQL queue is written in the transaction that changes the order: neither is there
    // without the other. Of another queue it must not be begun before that transaction is committed.
    const strategy = this.config.jobQueueOptions.jobQueueStrategy;
    const sql = strategy.constructor.name === 'SqlJobQueueStrategy';
    for (const event of CHANGES) {
      const handler = found => this.changed(found, sql);
      if (sql) {
        this.eventBus.registerBlockingEventHandler({ event, id: `amends-${event.name}`, handler });
      } else {
        this.eventBus.ofType(event).subscribe(found =>
          handler(found).catch(error => Logger.error(error.message, 'amends', error.stack)));
      }
    }
  }

  async changed(event, sql) {
    for (const id of await this.ordersOf(event)) {
      const data = { message: `msg_${crypto.randomUUID()}`, order: id };
      await this.queue.add(data, { retries: RETRIES, ...(sql ? { ctx: event.ctx } : {}) });
    }
  }

  /** The ids of the placed orders that something happened to. */
  async ordersOf(event) {
    if (event instanceof FulfillmentStateTransitionEvent) {
      const orders = await this.connection.getRepository(event.ctx, Order)
        .createQueryBuilder('o')
        .innerJoin('o.fulfillments', 'f')
        .where('f.id = :id', { id: event.fulfillment.id })
        .getMany();
      return orders.map(order => order.id);
    }
    const order = event.order || event.entity;
    // A cart is told of with the transition that makes it an order.
    const cart = order.active && !(event instanceof OrderStateTransitionEvent);
    return cart || event.type === 'deleted' ? [] : [order.id];
  }

  /** Send what an order is now. Throws if amends did not take it; Vendure tries again, after a pause
   * in which nothing else is sent: what comes behind it would find the same. */
  async tell(job) {
    const { message, order } = job.data;
    try {
      const said = await this.told(message, order);
      this.failures = 0;
      return said;
    } catch (error) {
      Logger.warn(`order ${order} is not told yet: ${error.message}`, 'amends');
      await pause(Math.min(PAUSE_FIRST * 2 ** this.failures++, PAUSE_MAX));
      throw error;
    }
  }

  async told(message, order) {
    // Of when the reading began: whatever changes from here on is in a later version.
    this.version = Math.max(this.version + 1, Date.now() * 1000);
    const data = await snapshot(this.connection.rawConnection, this.config, order, this.version);
    if (!data) return 'not placed';
    const content = sha256(JSON.stringify({ ...data, version: 0 }));
    if (this.known.get(order) === content) return 'known';
    await this.send(message, data);
    this.known.delete(order);
    this.known.set(order, content);
    if (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value);
    return 'told';
  }

  async send(message, data) {
    const { url, keys } = AmendsPlugin.options;
    const body = JSON.stringify({ type: 'order.changed', timestamp: new Date().toISOString(), data });
    const seconds = Math.floor(Date.now() / 1000);
    const answer = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_WITHIN),
      headers: {
        'content-type': 'application/json',
        'webhook-id': message,
        'webhook-timestamp': `${seconds}`,
        'webhook-signature': keys.map(k => signature(k, `${message}.${seconds}.${body}`)).join(' '),
      },
      body,
    });
    if (!answer.ok) {
      throw new Error(`amends answered ${answer.status}: ${(await answer.text()).slice(0, 300)}`);
    }
  }
}

function key(secret) {
  return Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
}

function signature(secret, text) {
  return `v1,${crypto.createHmac('sha256', secret).update(text).digest('base64')}`;
}

function sha256(text) {
  return crypto.createHash('sha256').update(text).digest('base64');
}

Reflect.defineMetadata(
  'design:paramtypes',
  [EventBus, JobQueueService, TransactionalConnection, ConfigService],
  AmendsPlugin,
);
VendurePlugin({
  imports: [PluginCommonModule],
  providers: [Recorder],
  adminApiExtensions: { schema, resolvers },
  compatibility: '^3.7.0',
  configuration: config => {
    config.paymentOptions.paymentMethodHandlers.forEach(guarded);
    return config;
  },
})(AmendsPlugin);

module.exports = { AmendsPlugin };
