//! libexpat, which most receivers of our streams read them with: a document, or its beginning, to a tree.
//!
//! The fuzz targets are built with this file, too.
#![allow(unsafe_code, reason = "libexpat is C; these few calls are all of it")]

use std::ffi::{CStr, c_char, c_int, c_uchar, c_void};
use std::slice;

use crate::tree::{Read, Tree};

/// Stands between namespace and local part. No XML document can hold it.
const SEPARATOR: u8 = 0x0c;

#[repr(C)]
struct Raw {
    _private: [u8; 0],
}

type Start = unsafe extern "C" fn(*mut c_void, *const c_char, *const *const c_char);
type End = unsafe extern "C" fn(*mut c_void, *const c_char);
type Text = unsafe extern "C" fn(*mut c_void, *const c_char, c_int);
type Instruction = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char);
type Comment = unsafe extern "C" fn(*mut c_void, *const c_char);

#[link(name = "expat")]
unsafe extern "C" {
    fn XML_ParserCreateNS(encoding: *const c_char, separator: c_char) -> *mut Raw;
    fn XML_ParserFree(parser: *mut Raw);
    fn XML_SetUserData(parser: *mut Raw, data: *mut c_void);
    fn XML_SetElementHandler(parser: *mut Raw, start: Option<Start>, end: Option<End>);
    fn XML_SetCharacterDataHandler(parser: *mut Raw, text: Option<Text>);
    fn XML_SetProcessingInstructionHandler(parser: *mut Raw, instruction: Option<Instruction>);
    fn XML_SetCommentHandler(parser: *mut Raw, comment: Option<Comment>);
    fn XML_Parse(parser: *mut Raw, bytes: *const c_char, length: c_int, last: c_uchar) -> c_int;
    fn XML_GetErrorCode(parser: *mut Raw) -> c_int;
    fn XML_ErrorString(code: c_int) -> *const c_char;
}

/// What the handlers collect.
#[derive(Default)]
struct Reading {
    read: Read,
    restricted: Option<&'static str>,
}

/// Reads a document that is complete, or with `last` false the beginning of one. Gives what it holds as far as it was
/// read, and why it was refused, be it by expat or, for a comment or a processing instruction, by RFC 6120 section 11.1.
#[must_use]
pub fn read(document: &[u8], last: bool) -> (Read, Option<String>) {
    let mut reading = Box::new(Reading::default());
    let data: *mut Reading = &mut *reading;
    // SAFETY: the parser is used between its creation and its end here, by one thread; the user data outlives it,
    // and is touched by the handlers only while XML_Parse runs. Lengths are those of `document`.
    let error = unsafe {
        let parser = XML_ParserCreateNS(c"UTF-8".as_ptr(), SEPARATOR as c_char);
        assert!(!parser.is_null(), "expat has no memory");
        XML_SetUserData(parser, data.cast());
        XML_SetElementHandler(parser, Some(on_start), Some(on_end));
        XML_SetCharacterDataHandler(parser, Some(on_text));
        XML_SetProcessingInstructionHandler(parser, Some(on_instruction));
        XML_SetCommentHandler(parser, Some(on_comment));
        let length = c_int::try_from(document.len()).expect("documents here are short");
        let status = XML_Parse(parser, document.as_ptr().cast(), length, c_uchar::from(last));
        let code = XML_GetErrorCode(parser);
        XML_ParserFree(parser);
        (status == 0).then(|| CStr::from_ptr(XML_ErrorString(code)).to_string_lossy().into_owned())
    };
    let error = error.or_else(|| reading.restricted.map(Into::into));
    (reading.read, error)
}

/// What expat makes of a whole document.
///
/// # Errors
/// Why it refuses it.
pub fn tree(document: &[u8]) -> Result<Tree, String> {
    let (read, error) = read(document, true);
    error.map_or(Ok(read.tree), Err)
}

/// A name as expat gives it, in two.
fn name(written: &str) -> (String, String) {
    match written.split_once(char::from(SEPARATOR)) {
        Some((namespace, local)) => (namespace.into(), local.into()),
        None => (String::new(), written.into()),
    }
}

/// # Safety
/// `text` is a string of expat's.
unsafe fn owned(text: *const c_char) -> String {
    // SAFETY: as above.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().expect("expat gives UTF-8").into()
}

unsafe extern "C" fn on_start(data: *mut c_void, element: *const c_char, attributes: *const *const c_char) {
    // SAFETY: `read` set the user data; expat ends the list of names and values by a null.
    let (reading, written, attributes) = unsafe {
        let mut found = Vec::new();
        let mut at = attributes;
        while !(*at).is_null() {
            found.push((name(&owned(*at)), owned(*at.add(1))));
            at = at.add(2);
        }
        (&mut *data.cast::<Reading>(), owned(element), found)
    };
    reading.read.start(name(&written), attributes);
}

unsafe extern "C" fn on_end(data: *mut c_void, _element: *const c_char) {
    // SAFETY: `read` set the user data.
    unsafe { &mut *data.cast::<Reading>() }.read.end();
}

unsafe extern "C" fn on_text(data: *mut c_void, text: *const c_char, length: c_int) {
    // SAFETY: `read` set the user data; the text is that long.
    let (reading, text) = unsafe {
        let bytes = slice::from_raw_parts(text.cast::<u8>(), length as usize);
        (&mut *data.cast::<Reading>(), bytes)
    };
    reading.read.tree.text(str::from_utf8(text).expect("expat gives UTF-8"));
}

unsafe extern "C" fn on_instruction(data: *mut c_void, _target: *const c_char, _text: *const c_char) {
    // SAFETY: `read` set the user data.
    unsafe { &mut *data.cast::<Reading>() }.restricted = Some("a processing instruction");
}

unsafe extern "C" fn on_comment(data: *mut c_void, _text: *const c_char) {
    // SAFETY: `read` set the user data.
    unsafe { &mut *data.cast::<Reading>() }.restricted = Some("a comment");
}
