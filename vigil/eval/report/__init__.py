"""One self-contained HTML page about one run: what was asked, seen, said and revised, against what was true."""
