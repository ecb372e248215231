"""Parses documents with expat, as most receivers of stanzas do, and says what each holds.

stdin: documents, each behind its length (4 bytes, big endian). stdout: a line for each, the SHA-1 of what
stands inside its root (the form is that of `Tree::to_bytes` in the tests' `tree.rs`), or "error: " and why.
"""
import hashlib
import sys
from xml.parsers import expat


class Tree:
    def __init__(self):
        self.fields = []
        self.depth = 0
        self.text = []

    def flush(self):
        text = "".join(self.text)
        self.text.clear()
        if text:
            self.fields += ["T", text]

    def start(self, name, attributes):
        self.depth += 1
        if self.depth == 1:
            return
        self.flush()
        self.fields += ["S", *split(name)]
        pairs = zip(attributes[::2], attributes[1::2])
        for key, value in sorted((split(name), value) for name, value in pairs):
            self.fields += ["A", *key, value]

    def end(self, _name):
        self.depth -= 1
        self.flush()
        if self.depth:
            self.fields.append("E")


def split(name):
    namespace, separator, local = name.rpartition("\x01")
    return (namespace, local)


def digest(document):
    tree = Tree()
    parser = expat.ParserCreate(namespace_separator="\x01")
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.text.append
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        return "error: %s" % error
    return hashlib.sha1("\0".join(tree.fields).encode()).hexdigest()


def main():
    source = sys.stdin.buffer
    while header := source.read(4):
        print(digest(source.read(int.from_bytes(header, "big"))))


main()
