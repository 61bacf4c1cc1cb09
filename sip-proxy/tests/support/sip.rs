//! SIP messages as text: enough to speak it, too little to hide anything.

use std::fmt::Write as _;

#[derive(Clone, Debug)]
pub(crate) struct Sip {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Sip {
    pub(crate) fn new(start: &str) -> Self {
        Self {
            start: start.to_owned(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a blank line");
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header");
                (name.trim().to_owned(), value.trim().to_owned())
            })
            .collect();
        Self {
            start,
            headers,
            body: body.to_owned(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        if !body.is_empty() {
            self = self.with("Content-Type", "application/sdp");
        }
        self
    }

    pub(crate) fn emit(&self) -> String {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        write!(
            text,
            "Content-Length: {}\r\n\r\n{}",
            self.body.len(),
            self.body
        )
        .unwrap();
        text
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = |(found, value): &'_ (String, String)| -> Option<usize> {
            found.eq_ignore_ascii_case(name).then_some(value.len())
        };
        let headers = self.headers.iter().filter(|header| named(header).is_some());
        headers.map(|(_, value)| value.as_str()).collect()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        all.first()
            .unwrap_or_else(|| panic!("no {name} in\n{}", self.emit()))
    }

    /// The status; 0 for a request.
    pub(crate) fn status(&self) -> u16 {
        let rest = self.start.strip_prefix("SIP/2.0 ").unwrap_or("0");
        rest[..rest.len().min(3)].trim().parse().unwrap()
    }

    pub(crate) fn is_request(&self, method: &str) -> bool {
        self.start.split(' ').next() == Some(method) && self.status() == 0
    }

    /// The response to this request that a phone sends.
    pub(crate) fn response(&self, status: &str, tag: &str) -> Self {
        let mut response = Self::new(&format!("SIP/2.0 {status}"));
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in self.all(name) {
                let needs_tag = name == "To" && !value.contains("tag=") && !tag.is_empty();
                let value = if needs_tag {
                    format!("{value};tag={tag}")
                } else {
                    value.to_owned()
                };
                response = response.with(name, &value);
            }
        }
        response
    }
}

/// The value of a parameter such as `nonce="…"`.
pub(crate) fn parameter<'a>(header: &'a str, name: &str) -> &'a str {
    let start = header.find(&format!("{name}=")).expect("the parameter") + name.len() + 1;
    let rest = &header[start..];
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap(),
        None => rest.split([',', ' ', ';']).next().unwrap(),
    }
}

/// What stands between angle brackets.
pub(crate) fn uri(header: &str) -> &str {
    let (_, rest) = header.split_once('<').expect("a URI in angle brackets");
    rest.split('>').next().unwrap()
}
