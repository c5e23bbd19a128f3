//! The pattern that every name follows: text that was checked once, where it entered, and is cheap to clone.

/// Implements parsing (and, with the feature `serde`, a text form) for a type that has
/// `fn read(&str) -> Result<Self, ConfigError>` and `Display`.
macro_rules! parsed_from_text {
    ($name:ident) => {
        impl core::str::FromStr for $name {
            type Err = $crate::service::ConfigError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::read(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::service::ConfigError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                Self::read(text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = $crate::service::ConfigError;

            fn try_from(text: &String) -> Result<Self, Self::Error> {
                Self::read(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::service::ConfigError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::read(&text)
            }
        }

        impl From<&Self> for $name {
            fn from(parsed: &Self) -> Self {
                parsed.clone()
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::read(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Defines a name: `$check` is a `fn(&str) -> Result<Cow<str>, &'static str>` that gives the canonical text or
/// the rule that is broken; `$field` is what errors call it.
macro_rules! text_newtype {
    ($(#[$attribute:meta])* $name:ident, $field:literal, $check:path) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(alloc::sync::Arc<str>);

        impl $name {
            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            fn read(text: &str) -> Result<Self, $crate::service::ConfigError> {
                match $check(text) {
                    Ok(canonical) => Ok(Self(canonical.into())),
                    Err(rule) => Err($crate::service::ConfigError::new($field, text, rule)),
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl core::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        $crate::service::text::parsed_from_text!($name);
    };
}

pub(crate) use {parsed_from_text, text_newtype};

/// Whether `text` has `1..=bytes_max` bytes, all of them ASCII letters, digits or of `others`.
pub(crate) fn is_word(text: &str, bytes_max: usize, others: &[u8]) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}
