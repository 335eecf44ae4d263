use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

/// The file of a memcached with `-Y`, which is removed on drop.
#[derive(Debug)]
pub(super) struct PasswordFile(PathBuf);

impl PasswordFile {
    #[track_caller]
    pub(super) fn new(user: &str, password: &str) -> Self {
        static FILES: AtomicU32 = AtomicU32::new(0);

        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("memcached2-{}-{number}.users", std::process::id()));
        // Before 1.6.32 memcached cuts the last byte of a file that does not end in a line end.
        if let Err(error) = fs::write(&path, format!("{user}:{password}\n")) {
            panic!("the password file {} cannot be written: {error}", path.display());
        }
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
