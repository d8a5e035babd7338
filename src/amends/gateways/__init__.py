"""One file per outside party: pure translators between bytes and facts or intents."""
