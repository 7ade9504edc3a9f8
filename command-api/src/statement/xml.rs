//! XML as a tree of elements: names without their prefixes, text, and the one attribute that counts. No
//! document type and no entity of one is taken, and the tree is bounded in depth and size, so that a small
//! file can't become a large one.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// How deep elements may stand in each other.
const DEPTH_MAX: usize = 32;

/// How many elements a file may have: a line of a statement has a few dozen.
const ELEMENTS_MAX: usize = 250_000;

/// An element.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// The name, without a prefix.
    name: String,
    /// The attribute `Ccy`, if it is there.
    pub(super) currency: Option<String>,
    /// The text between the tags, without that of elements in it.
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Returns the text, without the space around it.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// Lists the elements of a name in it.
    pub(super) fn all<'e>(&'e self, name: &str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Finds the first element at the end of a path of names.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        match path {
            [] => Some(self),
            [name, rest @ ..] => self.all(name).find_map(|child| child.find(rest)),
        }
    }

    /// Finds the text at the end of a path; `None` also where it is empty.
    pub(super) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.find(path).map(Self::text).filter(|text| !text.is_empty())
    }
}

/// Why a file is no XML that is read here, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) detail: &'static str,
}

/// Reads a file; returns an element that holds the root.
pub(super) fn parse(text: &str) -> Result<Element, Malformed> {
    let mut reader = Reader::from_str(text);
    // The elements that are open, the outermost first.
    let mut open = vec![Element::default()];
    let mut elements = 0;
    loop {
        let began = reader.buffer_position();
        // Counted only when it is told: it takes as long as the text before it.
        let malformed = |detail| Malformed { line: line_of(text, began), detail };
        let event = reader.read_event().map_err(|_| malformed("The XML is malformed here."))?;
        let innermost = open.len() - 1;
        match event {
            Event::Start(tag) => {
                elements += 1;
                if elements > ELEMENTS_MAX || open.len() > DEPTH_MAX {
                    return Err(malformed("The file has too many elements; split it by days."));
                }
                open.push(element(&tag).ok_or_else(|| malformed("The XML is malformed here."))?);
            }
            Event::Empty(tag) => {
                elements += 1;
                if elements > ELEMENTS_MAX {
                    return Err(malformed("The file has too many elements; split it by days."));
                }
                let element = element(&tag).ok_or_else(|| malformed("The XML is malformed here."))?;
                open[innermost].children.push(element);
            }
            Event::End(_) => {
                // The reader has compared the names; what it lets pass closes an element that is open.
                let Some(closed) = open.pop().filter(|_| innermost > 0) else {
                    return Err(malformed("The XML is malformed here."));
                };
                open[innermost - 1].children.push(closed);
            }
            Event::Text(part) => open[innermost].text.push_str(&part.xml10_content()),
            Event::CData(part) => open[innermost].text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => {
                let resolved = resolve(&reference);
                let resolved =
                    resolved.ok_or_else(|| malformed("There is an entity here; write the character."))?;
                open[innermost].text.push_str(&resolved);
            }
            Event::DocType(_) => return Err(malformed("There is a document type here; leave it out.")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof if innermost > 0 => return Err(malformed("The XML ends in the middle.")),
            Event::Eof => return Ok(open.swap_remove(0)),
        }
    }
}

fn element(tag: &BytesStart<'_>) -> Option<Element> {
    let mut currency = None;
    for attribute in tag.attributes() {
        let attribute = attribute.ok()?;
        if attribute.key.as_ref() == "Ccy" {
            currency = Some(attribute.value.trim().to_owned());
        }
    }
    let name = tag.local_name().as_ref().to_owned();
    Some(Element { name, currency, ..Element::default() })
}

/// Resolves a character's number, or one of the five entities that XML itself has.
fn resolve(reference: &BytesRef<'_>) -> Option<String> {
    if reference.is_char_ref() {
        return reference.resolve_char_ref().ok()?.map(String::from);
    }
    resolve_xml_entity(&reference.xml10_content()).map(str::to_owned)
}

/// Counts the lines up to a place.
fn line_of(text: &str, place: u64) -> usize {
    let before = text.bytes().take(usize::try_from(place).unwrap_or(usize::MAX));
    1 + before.filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(xml: &str) -> String {
        parse(xml).unwrap().text_at(&["a", "b"]).unwrap_or_default().to_owned()
    }

    #[test]
    fn names_lose_their_prefix_and_text_its_marks() {
        assert_eq!(
            text(
                "<?xml version='1.0'?><x:a xmlns:x='y'><x:b> T&#233;a &amp; <!-- no -->t<c>z</c> </x:b></x:a>"
            ),
            "Téa & t"
        );
        assert_eq!(text("<a><b><![CDATA[<1>]]></b></a>"), "<1>");
        assert_eq!(text("<a><b/></a>"), "");
        let root = parse("<a><b Ccy=' EUR '>1</b><b>2</b></a>").unwrap();
        let found: Vec<_> =
            root.find(&["a"]).unwrap().all("b").map(|b| (b.text(), b.currency.as_deref())).collect();
        assert_eq!(found, [("1", Some("EUR")), ("2", None)]);
    }

    #[test]
    fn what_is_malformed_is_told_with_its_line() {
        let line = |xml: &str| parse(xml).unwrap_err().line;
        assert_eq!(line("<a>\n<b>\n</c></a>"), 3);
        assert_eq!(line("<a>\n\n<b>"), 3);
        assert_eq!(line("<a>\n<b a='1' a='2'/></a>"), 2);
        assert_eq!(line("</a>"), 1);
        assert_eq!(line("<a>&bank;</a>"), 1);
        assert_eq!(line("<a>&#xFFFFFFF;</a>"), 1);
    }

    #[test]
    fn nothing_is_expanded_and_nothing_loaded() {
        for xml in [
            "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
            "<!DOCTYPE a SYSTEM 'http://127.0.0.1/a.dtd'><a/>",
        ] {
            assert_eq!(parse(xml).unwrap_err().detail, "There is a document type here; leave it out.");
        }
    }

    #[test]
    fn the_tree_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(parse(&nested(DEPTH_MAX)).is_ok() && parse(&nested(DEPTH_MAX + 1)).is_err());
        let flat = |elements: usize| format!("<r>{}</r>", "<a/>".repeat(elements - 1));
        assert!(parse(&flat(ELEMENTS_MAX)).is_ok() && parse(&flat(ELEMENTS_MAX + 1)).is_err());
    }
}
