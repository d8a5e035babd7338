// A shop for the tests: two goods, two taxes, shipping, two payment methods whose handler notes what
// it would have paid, and the amends plugin.  node server.js DIR PORT [URL SECRET…]
// Without a port it only makes the database. Ends on SIGTERM, or when its standard input does.
'use strict';

require('reflect-metadata');
const fs = require('node:fs');
const path = require('node:path');
const crypto = require('node:crypto');
const {
  bootstrap, ChannelService, DefaultJobQueuePlugin, DefaultLogger, JobQueueService,
  LanguageCode, LogLevel, mergeConfig, PaymentMethodHandler, RequestContextService,
} = require('@vendure/core');
const { populate } = require('@vendure/core/cli');
const { AmendsPlugin } = require('../../../integrations/vendure');

const [dir, port, url, ...secrets] = process.argv.slice(2);
const noted = (what, details) =>
  fs.appendFileSync(path.join(dir, 'handler.jsonl'), `${JSON.stringify({ what, ...details })}\n`);

const handler = new PaymentMethodHandler({
  code: 'test-psp',
  description: [{ languageCode: LanguageCode.en, value: 'Test PSP' }],
  args: {},
  createPayment: (ctx, order, amount, args, metadata) => ({
    amount: metadata.amount || amount,
    state: metadata.authorize ? 'Authorized' : 'Settled',
    transactionId: metadata.transactionId,
    metadata,
  }),
  settlePayment: () => ({ success: true }),
  cancelPayment: (ctx, order, payment) => {
    noted('voided', { payment: payment.transactionId });
    return { success: true };
  },
  createRefund: (ctx, input, amount, order, payment) => {
    const transactionId = `re_${crypto.randomBytes(8).toString('hex')}`;
    noted('refunded', { payment: payment.transactionId, amount, transactionId });
    return { state: 'Settled', transactionId };
  },
});

const config = mergeConfig({
  apiOptions: { port: Number(port) || 0, hostname: '127.0.0.1', adminApiPath: 'admin-api', shopApiPath: 'shop-api' },
  authOptions: {
    tokenMethod: ['bearer', 'api-key'],
    requireVerification: false,
    superadminCredentials: { identifier: 'superadmin', password: 'shop-test' },
    cookieOptions: { secret: 'test' },
  },
  dbConnectionOptions: {
    type: 'better-sqlite3',
    database: path.join(dir, 'shop.sqlite'),
    synchronize: !port,
    logging: false,
    enableWAL: true,
    prepareDatabase: db => db.pragma('synchronous = OFF'), // what is killed here is never the machine
  },
  paymentOptions: { paymentMethodHandlers: [handler] },
  importExportOptions: { importAssetsDir: dir },
  logger: new DefaultLogger({ level: LogLevel.Warn, timestamp: false }),
  plugins: [
    DefaultJobQueuePlugin.init({ pollInterval: 20, backoffStrategy: () => 50 }),
    ...(url ? [AmendsPlugin.init({ url, secrets })] : []),
  ],
}, {});

const goods = `name,slug,description,assets,facets,optionGroups,optionValues,sku,price,taxCategory,stockOnHand,trackInventory,variantAssets,variantFacets
Mug,mug,A mug,,,,,MUG-01,24.95,standard,100,true,,
Book,book,A book,,,,,BOOK-01,9.99,reduced,50,true,,
`;
const setting = {
  defaultLanguage: 'en',
  defaultZone: 'Europe',
  countries: [{ name: 'Germany', code: 'DE', zone: 'Europe' }],
  taxRates: [{ name: 'Standard Tax', percentage: 19 }, { name: 'Reduced Tax', percentage: 7 }],
  shippingMethods: [{ name: 'Parcel', price: 495, taxRate: 19 }],
  paymentMethods: ['Card', 'Wallet'].map(name => ({ name, handler: { code: 'test-psp', arguments: [] } })),
  collections: [],
  roles: [],
};

async function make() {
  const csv = path.join(dir, 'goods.csv');
  fs.writeFileSync(csv, goods);
  const app = await populate(bootstrapInEuro, setting, csv);
  await app.close();
}

async function bootstrapInEuro() {
  const app = await bootstrap(config);
  const ctx = await app.get(RequestContextService).create({ apiType: 'admin' });
  const channels = app.get(ChannelService);
  const { id } = await channels.getDefaultChannel(ctx);
  const euro = { defaultCurrencyCode: 'EUR', availableCurrencyCodes: ['EUR'] };
  await channels.update(ctx, { id, ...euro });
  return app;
}

async function open() {
  // Jobs run in this process: two connections in one process would wait for each other's locks.
  const app = await bootstrap(config);
  await app.get(JobQueueService).start();
  const end = async () => {
    await app.close();
    process.exit(0);
  };
  process.on('SIGTERM', end);
  process.stdin.on('end', end).resume();
  process.stdout.write('open\n');
}

(port ? open() : make()).catch(error => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
