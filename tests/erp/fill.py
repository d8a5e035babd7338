"""Fill an empty Tryton database with a small shop. Runs in the ERP's own environment, not in ours:

fill.py CONFIG DATABASE PASSWORD_OF_THE_CLERK OUT.json

EUR, the chart that trytond ships, VAT of 20 % and 10 %, tea, a mug and parcels, 100 of each on the
shelf, a place for quarantine and one for waste, and a clerk without the rights of an administrator.
Order 1001 (3 TEA at 27.60, MUG at 10.00, a parcel) was sent, invoiced and paid; 1002 was not paid.
"""

import datetime
import json
import sys
from decimal import Decimal
from pathlib import Path

from proteus import Model, config
from trytond.modules.account.tests.tools import (
    create_chart,
    create_fiscalyear,
    create_tax,
    get_accounts,
)
from trytond.modules.account_invoice.tests.tools import (
    create_payment_term,
    set_fiscalyear_invoice_sequences,
)
from trytond.modules.company.tests.tools import create_company, get_company
from trytond.modules.currency.tests.tools import get_currency

path, database, password, out = sys.argv[1:]
session = config.set_trytond(database, user="admin", config_file=path)


def one(model, **fields):
    (found,) = Model.get(model).find([(name, "=", value) for name, value in fields.items()])
    return found


def saved(model, **fields):
    made = Model.get(model)(**fields)
    made.save()
    return made


create_company(currency=get_currency("EUR"))
session.set_context(Model.get("res.user").get_preferences(True, {}))
company = get_company()
create_chart(company)
get_currency("USD")
year = set_fiscalyear_invoice_sequences(create_fiscalyear(company))
year.click("create_period")
closed = sorted(year.periods, key=lambda period: period.start_date)[0]
closed.click("close")
accounts = get_accounts(company)

categories = {}
taxes = {}
for rate in ("0.20", "0.10", "0.19"):
    tax = create_tax(Decimal(rate))
    tax.name = tax.description = f"VAT {rate}"
    tax.save()
    taxes[rate] = tax
    category = Model.get("product.category")(name=f"Taxed {rate}", accounting=True)
    category.account_expense, category.account_revenue = accounts["expense"], accounts["revenue"]
    category.customer_taxes.append(tax)
    category.save()
    categories[rate] = category

unit = one("product.uom", name="Unit")
products = {}
for code, kind, price, rate in (
    ("TEA", "goods", "27.60", "0.20"),
    ("MUG", "goods", "10.00", "0.10"),
    ("PARCEL", "service", "5.00", "0.20"),
    ("MUG-01", "goods", "24.95", "0.19"),
):
    template = Model.get("product.template")(
        name=code.title(), default_uom=unit, type=kind, salable=True, list_price=Decimal(price)
    )
    template.account_category = categories[rate]
    template.products[0].suffix_code = code
    template.save()
    products[code] = template.products[0]

storage = one("stock.location", code="STO")
warehouse = one("stock.location", code="WH")
saved("stock.location", name="Quarantine", code="QUA", type="storage", parent=warehouse)
waste = saved("stock.location", name="Waste", code="WASTE", type="lost_found")
warehouse.waste_locations.append(waste)
warehouse.save()
count = Model.get("stock.inventory")(location=storage)
for code in ("TEA", "MUG", "MUG-01"):
    count.lines.new(product=products[code]).quantity = 100.0
count.click("confirm")

customer = Model.get("party.party")(name="Ada Example")
customer.addresses[0].street = "1 Test Street"
customer.save()
guest = Model.get("party.party")(name="Web guests", code="GUESTS")
guest.addresses[0].street = "2 Test Street"
guest.save()
cash = one("account.journal", type="cash")
method = saved(
    "account.invoice.payment.method",
    name="Card",
    journal=cash,
    credit_account=accounts["cash"],
    debit_account=accounts["cash"],
)
term = create_payment_term()
term.save()


def sell(reference, *lines, paid):
    sale = Model.get("sale.sale")(party=customer, reference=reference, payment_term=term)
    for code, quantity in lines:
        line = sale.lines.new()
        line.product = products[code]  # assigned, so that its taxes are those of the product
        line.quantity = quantity
    for button in ("quote", "confirm"):
        sale.click(button)
    sale.reload()
    (shipment,) = sale.shipments
    for button in ("assign_try", "pick", "pack", "do"):
        shipment.click(button)
    (invoice,) = sale.invoices
    invoice.click("post")
    if paid:
        pay = invoice.click("pay")
        pay.form.payment_method = method
        pay.execute("choice")
    invoice.reload()
    return invoice.number


invoices = {
    "1001": sell("1001", ("TEA", 3.0), ("MUG", 1.0), ("PARCEL", 1.0), paid=True),
    "1002": sell("1002", ("TEA", 50.0), paid=False),
}

clerk = Model.get("res.user")(name="Refund clerk", login="clerk", password=password)
clerk.companies.append(company)
clerk.company = company
for name in ("Sales", "Stock", "Accounting"):
    clerk.groups.append(one("res.group", name=name))
clerk.save()
key = saved("res.user.application", user=clerk, application="rest")

with Path(out).open("w", encoding="utf-8") as file:
    json.dump(
        {
            "key": key.key,
            "invoices": invoices,
            "accounts": {name: account.code for name, account in accounts.items()},
            "closed": closed.start_date.isoformat(),
            "outside": (year.start_date - datetime.timedelta(days=1)).isoformat(),
        },
        file,
    )
