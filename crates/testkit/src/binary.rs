//! Finding the server's binary.

use crate::Error;
use std::path::{Path, PathBuf};

/// The one that the caller names, else the one beside this program when it is a release build too, else the release build of the
/// workspace.
pub fn find_binary(given: Option<&Path>) -> Result<PathBuf, Error> {
    let tried = match given {
        Some(path) => vec![path.to_owned()],
        None => {
            let here = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
            let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release");
            let beside = here.filter(|folder| folder.ends_with("release"));
            beside.into_iter().chain([workspace]).map(|folder| folder.join("instant-audience")).collect()
        }
    };
    tried.iter().find_map(|path| path.canonicalize().ok()).ok_or(Error::NoServer { tried })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_is_missing_is_named_and_told_how_to_build() {
        let error = find_binary(Some(Path::new("/nonexistent/instant-audience"))).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/instant-audience"), "{error}");
        assert!(error.contains("cargo build --release -p instant-audience"), "{error}");
    }
}
