//! Globs: `*` is any run of bytes, ASCII letters of either case are the same.

use memchr::memmem;

/// The parts of a glob between its stars, in lower case.
struct Glob(Vec<Vec<u8>>);

pub struct Globs(Vec<Glob>);

impl Globs {
    pub fn new(globs: &[String]) -> Self {
        let parts = |glob: &String| glob.to_ascii_lowercase().split('*').map(|part| part.as_bytes().to_vec()).collect();
        Globs(globs.iter().map(|glob| Glob(parts(glob))).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the globs is the whole name, which is in lower case.
    pub fn matches(&self, lower: &[u8]) -> bool {
        self.0.iter().any(|glob| glob.matches(lower))
    }
}

impl Glob {
    fn matches(&self, name: &[u8]) -> bool {
        match &self.0[..] {
            [] => name.is_empty(),
            [only] => name == only,
            [first, inner @ .., last] => {
                let Some(mut rest) = name.strip_prefix(&first[..]).and_then(|rest| rest.strip_suffix(&last[..])) else {
                    return false;
                };
                for part in inner {
                    let Some(at) = memmem::find(rest, part) else { return false };
                    rest = &rest[at + part.len()..];
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Globs;

    #[test]
    fn stars_stand_for_any_run() {
        for (glob, name, expected) in [
            ("user.email", "user.email", true),
            ("USER.*", "user.email", true),
            ("*password*", "db_password_old", true),
            ("a*a", "a", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
        ] {
            assert_eq!(Globs::new(&[glob.to_owned()]).matches(name.as_bytes()), expected, "{glob} {name}");
        }
    }
}
