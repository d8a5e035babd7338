/**
 * What amends did, recorded in Vendure: refunds that were paid, authorizations that were released,
 * goods that came back or will never leave. Each is done once under its mark, in one transaction.
 */
'use strict';

const { AsyncLocalStorage } = require('node:async_hooks');
const { Injectable } = require('@nestjs/common');
const { Args, Mutation, Query, ResolveField, Resolver } = require('@nestjs/graphql');
const { parse } = require('graphql');
const {
  Allocation,
  Allow,
  Cancellation,
  ConfigService,
  Ctx,
  EventBus,
  HistoryService,
  isGraphQlErrorResult,
  Order,
  OrderCalculator,
  OrderLine,
  OrderLineEvent,
  OrderService,
  PaymentMethodService,
  PaymentService,
  Permission,
  Refund,
  Release,
  RequestContext,
  Sale,
  StockMovementService,
  Transaction,
  TransactionalConnection,
  UserInputError,
} = require('@vendure/core');
const { marked, precision, unitsMoved } = require('./snapshot');

const VERSION = 1;
const PARTS = ['lines', 'fulfillments', 'fulfillments.lines', 'surcharges', 'shippingLines'];

const schema = parse(`
  type Amends { version: Int!, paymentMethods: [String!]! }
  input AmendsUnits { orderLineId: ID!, quantity: Int! }
  input AmendsRefundInput {
    order: String!, mark: String!, transactionId: String!, methods: [String!]!
    payment: String!, amount: Money!, shipping: Money!, decimals: Int!
    lines: [AmendsUnits!]!, void: Boolean!
  }
  input AmendsGoodsInput {
    order: String!, mark: String!, returned: [AmendsUnits!]!, released: [AmendsUnits!]!
  }
  union AmendsRefundResult = Refund | Payment | QuantityTooGreatError | NothingToRefundError
    | OrderStateTransitionError | MultipleOrderError | PaymentOrderMismatchError
    | RefundOrderStateError | AlreadyRefundedError | RefundStateTransitionError | RefundAmountError
    | PaymentStateTransitionError
  union AmendsGoodsResult = Order | OrderStateTransitionError
  extend type Query { amends: Amends! }
  extend type Mutation {
    amendsRefund(input: AmendsRefundInput!): AmendsRefundResult!
    amendsGoods(input: AmendsGoodsInput!): AmendsGoodsResult!
  }
`);

const recording = new AsyncLocalStorage();

/** A payment handler that pays nothing for what is only recorded: a refund stays pending until its
 * transaction's id is recorded with it, a cancelled authorization is cancelled already. */
function guarded(handler) {
  if (handler.guardedByAmends) return;
  const { createRefund, cancelPayment } = handler;
  handler.guardedByAmends = true;
  handler.createRefund = function (...args) {
    return recording.getStore() ? Promise.resolve(false) : createRefund.apply(this, args);
  };
  handler.cancelPayment = function (...args) {
    return recording.getStore() ? Promise.resolve({ success: true }) : cancelPayment.apply(this, args);
  };
}

class Recorder {
  constructor(connection, orders, payments, stock, history, calculator, eventBus, config) {
    Object.assign(this,
      { connection, orders, payments, stock, history, calculator, eventBus, config });
  }

  /** The refund or the cancelled payment, made now or found; or why Vendure makes none. */
  async refund(ctx, input) {
    const order = await this.locked(ctx, input.order, ['payments', 'payments.refunds']);
    const made = order.payments.flatMap(p => p.refunds).find(r => r.reason === input.mark);
    if (made) return made.state === 'Pending' ? this.settled(ctx, made, input) : made;
    const payment = paymentOf(order, input);
    const [amount, shipping] = [input.amount, input.shipping]
      .map(said => kept(said, input.decimals, precision(this.config)));
    if (payment.state === 'Cancelled' && input.void) return payment;
    if (input.void && payment.state === 'Authorized') {
      // Released in part it is still an authorization, of which Vendure knows one amount only.
      if (amount < payment.amount) return payment;
      return recording.run(true, () => this.payments.cancelPayment(ctx, payment.id));
    }
    const created = await recording.run(true, () => this.orders.refundOrder(ctx, {
      paymentId: payment.id,
      amount,
      reason: input.mark,
      lines: input.lines,
      shipping,
      adjustment: 0,
    }));
    return isGraphQlErrorResult(created) ? created : this.settled(ctx, created, input);
  }

  settled(ctx, refund, input) {
    return this.orders.settleRefund(ctx, { id: refund.id, transactionId: input.transactionId });
  }

  /** The order after these units came back or were given up. What is not there any more, since the
   * shop itself cancelled it, is left out. */
  async goods(ctx, input) {
    const order = await this.locked(ctx, input.order, PARTS);
    const { manager } = this.connection.getRepository(ctx, Order);
    const before = await marked(manager, order);
    if (before.some(entry => entry.data.amends === input.mark)) return order;
    const back = await this.back(manager, order, input.returned);
    const released = await this.released(manager, order, input.released);
    const restocked = back.map(({ orderLineId, quantity }) => ({ orderLineId, quantity }));
    await this.fewer(ctx, order, [...back, ...released], { amends: input.mark, restocked });
    await this.stock.createCancellationsForOrderLines(ctx, back);
    await this.stock.createReleasesForOrderLines(ctx, released.filter(l => l.quantity > 0));
    const empty = order.lines.every(line => line.quantity === 0);
    if (!empty || order.state === 'Cancelled') return order;
    return this.orders.transitionToState(ctx, order.id, 'Cancelled');
  }

  /** The lines hold so many units `less`, the order's sums follow, and its history says why: that
   * first, so that nobody who looks meanwhile takes it for the shop's own doing. */
  async fewer(ctx, order, changes, noted) {
    const lines = changes.filter(({ less }) => less > 0);
    await this.history.createHistoryEntryForOrder({
      ctx,
      orderId: order.id,
      type: 'ORDER_CANCELLATION',
      data: {
        lines: lines.map(({ orderLineId, less }) => ({ orderLineId, quantity: less })),
        reason: noted.amends,
        shippingCancelled: false,
        ...noted,
      },
    });
    for (const { line, less } of lines) {
      line.quantity -= less;
      await this.connection.getRepository(ctx, OrderLine).update(line.id, { quantity: line.quantity });
    }
    this.calculator.calculateOrderTotals(order);
    const { subTotal, subTotalWithTax, shipping, shippingWithTax } = order;
    await this.connection.getRepository(ctx, Order)
      .update(order.id, { subTotal, subTotalWithTax, shipping, shippingWithTax });
    for (const { line } of lines) {
      await this.eventBus.publish(new OrderLineEvent(ctx, order, line, 'cancelled'));
    }
  }

  /** Returned units that do not count as on hand again yet. A line that is not sent whole keeps its
   * number of units: with fewer, Vendure would take the rest as sent. */
  async back(manager, order, asked) {
    const counted = await unitsMoved(manager, Cancellation, order);
    return this.lines(order, asked).flatMap(({ line, orderLineId, quantity }) => {
      const sent = fulfilled(order, line);
      const units = Math.min(quantity, sent - counted(line));
      const less = sent < line.quantity ? 0 : Math.min(units, line.quantity);
      return units > 0 ? [{ line, orderLineId, quantity: units, less }] : [];
    });
  }

  /** Units given up that are still to be sent, and how many of them are allocated. */
  async released(manager, order, asked) {
    const [allocated, sold, freed] = await Promise.all(
      [Allocation, Sale, Release].map(kind => unitsMoved(manager, kind, order)));
    return this.lines(order, asked).flatMap(({ line, orderLineId, quantity }) => {
      const less = Math.min(quantity, line.quantity - fulfilled(order, line));
      const held = allocated(line) + sold(line) - freed(line);
      return less > 0 ? [{ line, orderLineId, quantity: Math.min(less, held), less }] : [];
    });
  }

  lines(order, asked) {
    return asked.map(({ orderLineId, quantity }) => {
      const line = order.lines.find(l => `${l.id}` === `${orderLineId}`);
      if (!line) throw new UserInputError(`Order ${order.code} has no line ${orderLineId}`);
      return { line, orderLineId: line.id, quantity };
    });
  }

  /** The order by its code, its row locked: who comes second finds the mark of who came first. */
  async locked(ctx, code, relations) {
    const found = await this.orders.findOneByCode(ctx, code, []);
    if (!found) throw new UserInputError(`There is no order ${code}`);
    const repository = this.connection.getRepository(ctx, Order);
    await repository.update(found.id, { code });
    return repository.findOneOrFail({
      where: { id: found.id }, relations, relationLoadStrategy: 'query', withDeleted: true,
    });
  }
}

/** Units of a line in fulfilments that were not cancelled: for Vendure's stock they are sold. */
function fulfilled(order, line) {
  return order.fulfillments
    .filter(f => f.state !== 'Cancelled')
    .flatMap(f => f.lines)
    .filter(l => `${l.orderLineId}` === `${line.id}`)
    .reduce((total, l) => total + l.quantity, 0);
}

/** An amount with so many decimals as Vendure keeps it; amends counts in yen, Vendure in hundredths of
 * one. What it cannot keep is refused: rounded it would be another amount. */
function kept(amount, decimals, precision) {
  const per = 10 ** Math.abs(precision - decimals);
  if (precision >= decimals) return amount * per;
  if (amount % per) throw new UserInputError(`Vendure keeps ${precision} decimals, not ${decimals}`);
  return amount / per;
}

/** The payment by the provider's id of it; or the only one that is made that way. */
function paymentOf(order, { payment, methods }) {
  const named = order.payments.find(p => p.transactionId === payment && methods.includes(p.method));
  if (named) return named;
  const able = order.payments.filter(
    p => methods.includes(p.method) && ['Authorized', 'Settled', 'Cancelled'].includes(p.state));
  if (able.length === 1) return able[0];
  throw new UserInputError(`Order ${order.code} has no payment ${payment} by ${methods.join(' or ')}`);
}

class RecordResolver {
  constructor(recorder, methods) {
    Object.assign(this, { recorder, methods });
  }

  async amends(ctx) {
    const { items } = await this.methods.findAll(ctx);
    return { version: VERSION, paymentMethods: items.map(method => method.code) };
  }

  amendsRefund(ctx, { input }) {
    return this.recorder.refund(ctx, input);
  }

  amendsGoods(ctx, { input }) {
    return this.recorder.goods(ctx, input);
  }
}

/** Which type of a union it is: Vendure's errors say so themselves. */
function union(name, typeOf) {
  class Union {
    __resolveType(value) {
      return value.__typename || typeOf(value);
    }
  }
  const descriptor = Object.getOwnPropertyDescriptor(Union.prototype, '__resolveType');
  Resolver(name)(Union);
  Reflect.defineMetadata('design:paramtypes', [Object], Union.prototype, '__resolveType');
  ResolveField()(Union.prototype, '__resolveType', descriptor);
  return Union;
}

// As the decorators of TypeScript would, for there is no build step here.
function injected(type, ...types) {
  Reflect.defineMetadata('design:paramtypes', types, type);
}
function resolves(name, kind, ...others) {
  const { prototype } = RecordResolver;
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
  Reflect.defineMetadata('design:paramtypes', [RequestContext, Object], prototype, name);
  Ctx()(prototype, name, 0);
  if (prototype[name].length > 1) Args()(prototype, name, 1);
  for (const decorate of [kind(), ...others]) decorate(prototype, name, descriptor);
}

Injectable()(Recorder);
injected(Recorder, TransactionalConnection, OrderService, PaymentService, StockMovementService,
  HistoryService, OrderCalculator, EventBus, ConfigService);
Resolver()(RecordResolver);
injected(RecordResolver, Recorder, PaymentMethodService);
resolves('amends', Query, Allow(Permission.ReadOrder));
resolves('amendsRefund', Mutation, Allow(Permission.UpdateOrder), Transaction());
resolves('amendsGoods', Mutation, Allow(Permission.UpdateOrder), Transaction());

const resolvers = [
  RecordResolver,
  union('AmendsRefundResult', value => (value instanceof Refund ? 'Refund' : 'Payment')),
  union('AmendsGoodsResult', () => 'Order'),
];

module.exports = { guarded, kept, Recorder, resolvers, schema };
