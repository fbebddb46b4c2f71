"""What a page says, read by a parser that forgives nothing."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}
ADDRESSES = ("src", "href", "srcset", "action", "data", "poster", "xlink:href")


class Page(HTMLParser):
    """The elements of a page; an end tag that closes nothing, or something else, is an error.

    ``text`` is all text outside of style and scripts, ``scripts`` that of each script, ``notes``
    that of each list item, ``sections`` that of each heading's section, ``tables`` the cells of
    each table by its id.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.notes: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.feed(source)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs), f"an attribute twice in {tag}: {attrs}"
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "li":
            self.notes.append("")
        elif tag == "table":
            self.tables[found["id"]] = []
        elif tag == "tr":
            self._table().append([])
        elif tag in ("th", "td"):
            self._table()[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        if "script" in self.open:
            self.scripts.append(data)
            return
        self.text += data
        if "li" in self.open:
            self.notes[-1] += data
        if "th" in self.open or "td" in self.open:
            self._table()[-1][-1] += data

    def of(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element of that name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def addresses(self) -> list[str]:
        """Everything that the page loads or links to."""
        return [
            value
            for _, attributes in self.tags
            for name, value in attributes.items()
            if name in ADDRESSES
        ]

    def _table(self) -> list[list[str]]:
        return self.tables[next(reversed(self.tables))]
