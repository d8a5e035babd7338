// Serves stripe-stateful-mock on a free port of 127.0.0.1 and says which.
const { createExpressApp } = require("stripe-stateful-mock");
const server = createExpressApp().listen(0, "127.0.0.1", () => console.log(server.address().port));
