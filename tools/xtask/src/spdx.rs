//! Licence expressions, as far as crates use them (SPDX specification, annex D).

/// Whether an expression can be met with licences that are allowed.
///
/// `OR` binds less than `AND`; the old `/` is an `OR`. A licence with an exception counts as the
/// whole of `LICENCE WITH EXCEPTION`.
pub(crate) fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser {
        words: &words,
        allowed,
    };
    let met = parser.alternatives();
    // What is left over was not understood.
    met && parser.words.is_empty()
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Parser<'_> {
    fn alternatives(&mut self) -> bool {
        let mut met = self.all();
        while self.take("OR") {
            met |= self.all();
        }
        met
    }

    fn all(&mut self) -> bool {
        let mut met = self.one();
        while self.take("AND") {
            met &= self.one();
        }
        met
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let met = self.alternatives();
            return self.take(")") && met;
        }
        let Some((name, rest)) = self.words.split_first() else {
            return false;
        };
        self.words = rest;
        let mut licence = (*name).to_owned();
        if self.take("WITH")
            && let Some((exception, rest)) = self.words.split_first()
        {
            self.words = rest;
            licence = format!("{licence} WITH {exception}");
        }
        self.allowed.contains(&licence)
    }

    fn take(&mut self, word: &str) -> bool {
        match self.words.split_first() {
            Some((first, rest)) if *first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(expression: &str) -> bool {
        let allowed = [
            "MIT",
            "Apache-2.0",
            "Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ];
        is_met(expression, &allowed.map(str::to_owned))
    }

    #[test]
    fn one_of_several_is_enough_and_all_of_several_are_needed() {
        assert!(met("MIT"));
        assert!(met("GPL-3.0 OR MIT"));
        assert!(met("MIT/GPL-2.0"));
        assert!(!met("GPL-3.0"));
        assert!(!met("MIT AND GPL-3.0"));
        assert!(met("(MIT OR GPL-2.0) AND Unicode-3.0"));
        assert!(!met("MIT AND GPL-3.0 OR GPL-2.0"));
        assert!(met("GPL-2.0 OR MIT AND Unicode-3.0"));
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        assert!(met("Apache-2.0 WITH LLVM-exception"));
        assert!(!met("MIT WITH LLVM-exception"));
        assert!(met("GPL-2.0 WITH Classpath-exception-2.0 OR MIT"));
    }

    #[test]
    fn what_is_not_understood_is_not_met() {
        for expression in ["", "MIT MIT", "(MIT", "MIT)", "OR", "MIT AND"] {
            assert!(!met(expression), "{expression}");
        }
    }
}
