"""The console: people's pages at `/console`, made on the server; they work without JavaScript."""
