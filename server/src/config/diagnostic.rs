//! Faults of a configuration file, and how they are shown.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::printable::printable;

/// Whether a fault keeps the server from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The server refuses to start.
    Error,
    /// The server starts.
    Warning,
}

/// A second place in the file that a fault is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// What is there.
    pub text: String,
}

/// One fault: where, what, and what to do about it. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it keeps the server from starting.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The bytes of the file that are at fault; empty at 0 for what is missing from the whole file.
    pub span: Range<usize>,
    /// What to do about it: the nearest known name, as a rule.
    pub help: Option<String>,
    /// Other places that it is about.
    pub labels: Vec<Label>,
    /// It is about something that is nowhere in the file.
    pub(super) of_absence: bool,
}

impl Diagnostic {
    pub(super) fn new(severity: Severity, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity, message: message.into(), span, help: None, labels: Vec::new(), of_absence: false }
    }

    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn of_absence(&mut self) -> &mut Self {
        self.of_absence = true;
        self
    }

    pub(super) fn help_if(&mut self, help: Option<String>) -> &mut Self {
        self.help = help.or(self.help.take());
        self
    }

    pub(super) fn label(&mut self, span: Range<usize>, text: impl Into<String>) -> &mut Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }
}

/// What reading a file gathers on its way: all faults, and remarks for the log.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) list: Vec<Diagnostic>,
    pub(super) notes: Vec<String>,
    /// Warnings keep the server from starting, too.
    pub(super) strict: bool,
}

impl Faults {
    pub(super) fn error(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, span, message)
    }

    pub(super) fn warning(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, span, message)
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(super) fn push(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.list.push(Diagnostic::new(severity, span, message));
        self.list.last_mut().expect("one was pushed just now")
    }

    pub(super) fn any_error(&self) -> bool {
        self.list.iter().any(|fault| fault.severity == Severity::Error)
    }
}

/// A file's name and text, for excerpts; every secret in the text is replaced by asterisks.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// `masked` is the text without its secrets, every byte at its old place.
    pub(super) fn new(name: &str, masked: String) -> Self {
        // The renderer replaces all other control characters; the dot has as many bytes.
        let text = masked.replace(|c| ('\u{80}'..='\u{9f}').contains(&c), "\u{b7}");
        Self { name: printable(name), text }
    }

    /// The file's name, fit to be printed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Line and column (in characters) of a byte, both counted from 1.
    #[must_use]
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let before = &self.text[..self.boundary(byte)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The fault as several lines of text: what, `file:line:column`, an excerpt with carets, help.
    #[must_use]
    pub fn render(&self, fault: &Diagnostic, colour: bool) -> String {
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut snippet = Snippet::source(self.text.as_str())
            .path(self.name.as_str())
            .annotation(AnnotationKind::Primary.span(self.within_line(&fault.span)));
        for label in &fault.labels {
            let span = self.within_line(&label.span);
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(label.text.as_str()));
        }
        let mut group = level.primary_title(fault.message.as_str()).element(snippet);
        if let Some(help) = &fault.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// The fault in one line: `file:line:column: error: what (help)`, for a log.
    #[must_use]
    pub fn line(&self, fault: &Diagnostic) -> String {
        let (line, column) = self.position(fault.span.start);
        let severity = match fault.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut text = format!("{}:{line}:{column}: {severity}: {}", self.name, fault.message);
        if let Some(help) = &fault.help {
            let _ = write!(text, " ({help})");
        }
        text
    }

    /// The nearest character boundary at or below `byte`.
    fn boundary(&self, byte: usize) -> usize {
        self.text.floor_char_boundary(byte)
    }

    /// The part of a span that lies on its first line: a span of many lines would fill the screen.
    fn within_line(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end).max(start);
        let line_end = self.text[start..end].find(['\n', '\r']).map_or(end, |at| start + at);
        start..line_end
    }
}
