//! What must hold of any text that is read as a scenario: the body of a fuzz target and of the tests beside it.

use core::convert::Infallible;

use super::{Read, Unreadable, read_with};

/// Reads `bytes` as a scenario, whose trace says what its file is called, and checks that what comes out is sound: a scenario is
/// the same when it is written and read again, and every problem has its place in the text and can be shown.
///
/// # Errors
/// What is wrong with it, as [`read_with`] says.
pub fn replay(bytes: &[u8]) -> Result<Read, Unreadable> {
    let text = String::from_utf8_lossy(bytes);
    let read = read_with("fuzz.toml", &text, open);
    match &read {
        Ok(read) => {
            assert_eq!(read.warnings.to_string().is_empty(), read.warnings.all().is_empty());
            let written = toml::to_string(&read.scenario).unwrap_or_default();
            let again = read_with("again.toml", &written, open);
            assert_eq!(again.map(|again| again.scenario).as_ref(), Ok(&read.scenario), "{written}");
        }
        Err(error) => {
            assert!(!error.problems().is_empty(), "refused for no reason");
            assert!(!error.to_string().is_empty() && !error.coloured().is_empty());
            for problem in error.problems() {
                let line = text.split('\n').nth(problem.line() - 1);
                let length = line.map(|line| line.chars().count());
                assert!(length.is_some_and(|length| problem.column() <= length + 1), "{problem:?} is nowhere");
            }
        }
    }
    read
}

fn open(file: &str) -> Result<String, Infallible> {
    Ok(file.to_owned())
}
