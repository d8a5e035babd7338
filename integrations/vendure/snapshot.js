/** What amends is told of an order: all of it, as it is now. Amounts are as Vendure keeps them, with
 * `precision` decimals whatever the currency, tax included unless named otherwise; ids are those of
 * the Admin API. */
'use strict';

const { Cancellation, Order, OrderLine, ShippingLine } = require('@vendure/core');

const RELATIONS = [
  'customer',
  'lines',
  'lines.productVariant',
  'lines.productVariant.translations',
  'shippingLines',
  'shippingLines.shippingMethod',
  'shippingLines.shippingMethod.translations',
  'surcharges',
  'payments',
  'payments.refunds',
  'payments.refunds.lines',
  'fulfillments',
  'fulfillments.lines',
];
const NOT_GONE = ['Created', 'Pending', 'Cancelled']; // fulfilments whose goods are still here

/** The order, or undefined if nobody placed it (yet). */
async function snapshot(connection, config, id, version) {
  const order = await connection.getRepository(Order).findOne({
    where: { id },
    relations: RELATIONS,
    relationLoadStrategy: 'query',
    withDeleted: true,
  });
  if (!order || !order.orderPlacedAt) return undefined;
  const encode = value => `${config.entityOptions.entityIdStrategy.encodeId(value)}`;
  // What Vendure counts as on hand again after it was sold.
  const restocked = await unitsMoved(connection, Cancellation, order);
  const ours = await unitsByAmends(connection, order);
  return {
    code: order.code,
    state: order.state,
    version,
    placedAt: order.orderPlacedAt.toISOString(),
    currency: order.currencyCode,
    precision: precision(config),
    customer: customer(order, encode),
    lines: order.lines.map(line => ({
      id: encode(line.id),
      ...lineOf(line, order),
      restocked: restocked(line),
      byAmends: ours(line),
    })),
    shipping: order.shippingLines.map(line => shippingOf(line, encode)),
    surcharges: order.surcharges.map(extra => ({
      id: encode(extra.id),
      title: extra.description,
      total: extra.priceWithTax,
      net: extra.price,
      taxes: taxes(extra),
    })),
    payments: order.payments.map(payment => ({
      id: encode(payment.id),
      method: payment.method,
      transactionId: payment.transactionId || '',
      state: payment.state,
      amount: payment.amount,
    })),
    refunds: order.payments.flatMap(payment => payment.refunds.map(refund => ({
      id: encode(refund.id),
      payment: encode(payment.id),
      state: refund.state,
      total: refund.total,
      reason: refund.reason || '',
      transactionId: refund.transactionId || '',
      lines: refund.lines.map(l => ({ id: encode(l.orderLineId), quantity: l.quantity })),
    }))),
  };
}

/** How many decimals amounts have. */
function precision(config) {
  return config.entityOptions.moneyStrategy.precision ?? 2;
}

function customer(order, encode) {
  const found = order.customer;
  if (!found) return null;
  return {
    id: encode(found.id),
    email: found.emailAddress,
    name: `${found.firstName} ${found.lastName}`.trim(),
    country: order.shippingAddress?.countryCode || order.billingAddress?.countryCode || '',
  };
}

/** A line as it was bought; what was cancelled of it since is said beside it. */
function lineOf(line, order) {
  const placed = Math.max(line.orderPlacedQuantity, line.quantity);
  const bought = as(OrderLine, line, { quantity: placed });
  const gone = order.fulfillments.filter(f => !NOT_GONE.includes(f.state)).flatMap(f => f.lines);
  return {
    sku: line.productVariant.sku,
    title: name(line.productVariant),
    placed,
    cancelled: placed - line.quantity,
    fulfilled: sum(gone.filter(l => l.orderLineId === line.id), 'quantity'),
    total: bought.proratedLinePriceWithTax,
    net: bought.proratedLinePrice,
    undiscounted: bought.linePriceWithTax,
    taxes: taxes(line),
  };
}

/** Cancelling an order's shipping is an adjustment of it; here it is what was paid. */
function shippingOf(line, encode) {
  const paid = line.adjustments.filter(a => a.adjustmentSource !== 'CANCEL_ORDER');
  const bought = as(ShippingLine, line, { adjustments: paid });
  return {
    id: encode(line.id),
    title: line.shippingMethod ? name(line.shippingMethod) : '',
    total: bought.discountedPriceWithTax,
    net: bought.discountedPrice,
    undiscounted: bought.priceWithTax,
    taxes: taxes(line),
  };
}

/** Units per line in the stock movements of a kind; of sales they are negative. */
async function unitsMoved(connection, kind, order) {
  const found = await connection.getRepository(kind)
    .createQueryBuilder('m')
    .innerJoin('m.orderLine', 'l')
    .where('l.orderId = :id', { id: order.id })
    .select('l.id', 'line')
    .addSelect('SUM(m.quantity)', 'units')
    .groupBy('l.id')
    .getRawMany();
  const units = new Map(found.map(row => [`${row.line}`, Number(row.units)]));
  return line => units.get(`${line.id}`) || 0;
}

/** Units per line that amends had cancelled or restocked here (record.js): it knows of those. */
async function unitsByAmends(connection, order) {
  const entries = await marked(connection, order);
  const units = (name, line) => sum(
    entries.flatMap(entry => entry.data[name]).filter(l => `${l.orderLineId}` === `${line.id}`),
    'quantity');
  return line => ({ cancelled: units('lines', line), restocked: units('restocked', line) });
}

/** The cancellations of an order that amends made. */
async function marked(connection, order) {
  const entries = await connection.getRepository('OrderHistoryEntry').find({
    where: { order: { id: order.id }, type: 'ORDER_CANCELLATION' },
  });
  return entries.filter(entry => entry.data.amends);
}

function taxes(line) {
  return (line.taxLines || []).map(tax => ({ name: tax.description, rate: `${tax.taxRate}` }));
}

function name(translatable) {
  return translatable.translations?.[0]?.name || '';
}

/** A copy of an entity with other values; its prices, which Vendure binds to it, follow from them. */
function as(type, entity, values) {
  const held = Object.entries(Object.getOwnPropertyDescriptors(entity))
    .filter(([, property]) => 'value' in property);
  const copy = Object.create(type.prototype, Object.fromEntries(held));
  return Object.assign(copy, values);
}

function sum(items, field) {
  return items.reduce((total, item) => total + item[field], 0);
}

module.exports = { marked, precision, snapshot, unitsMoved };
