//! What an owner knows about an item that only it changes.

use std::collections::BTreeSet;

use memcached2_testkit::Rng;

/// What is wrong with a reply, if it cannot be the one to this request.
pub(crate) type Verdict = Result<(), String>;

/// What a request does to an item.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Whether it is there or not, which is more than `add`, `replace` and `cas` do.
    Put(String),
    Append(String),
    Prepend(String),
    Incr(u64),
    Decr(u64),
    Delete,
}

impl Change {
    /// The value it makes of an old one; `None` is a missing item.
    fn of(&self, old: Option<&str>) -> Option<String> {
        let number = || old?.parse::<u64>().ok();
        match self {
            Self::Put(value) => Some(value.clone()),
            Self::Append(piece) => old.map(|old| format!("{old}{piece}")),
            Self::Prepend(piece) => old.map(|old| format!("{piece}{old}")),
            Self::Incr(by) => number().map(|number| (number + by).to_string()),
            Self::Decr(by) => number().map(|number| number.saturating_sub(*by).to_string()),
            Self::Delete => None,
        }
    }
}

/// An item and what it may be. It may always be missing: servers evict.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) key: String,
    /// What it was when the last reply was read, one of these.
    values: BTreeSet<String>,
    /// Changes with an unknown outcome. Each may be carried out at any later time, also after later changes.
    open: Vec<Change>,
    version: Option<Version>,
    /// How many changes were tried, and how many certainly made.
    tried: u64,
    made: u64,
}

/// A version that was fetched, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version {
    pub(crate) cas: u64,
    tried: u64,
    made: u64,
}

impl Item {
    pub(crate) fn new(key: String) -> Self {
        Self { key, values: BTreeSet::new(), open: Vec::new(), version: None, tried: 0, made: 0 }
    }

    /// Whether there are so many possible values that a new value is more useful.
    pub(crate) fn is_spent(&self) -> bool {
        const OPEN: usize = 3;
        self.open.len() > OPEN
    }

    /// The length of the longest value it may have.
    pub(crate) fn length(&self) -> usize {
        self.values.iter().map(String::len).max().unwrap_or_default()
    }

    /// All values that it may have now.
    fn may_be(&self) -> BTreeSet<String> {
        if self.open.is_empty() {
            return self.values.clone();
        }
        let known = self.values.iter().cloned().map(Some).chain([None]);
        let mut seen: BTreeSet<_> = known.map(|value| (value, 0_u32)).collect();
        let mut ahead: Vec<_> = seen.iter().cloned().collect();
        while let Some((value, done)) = ahead.pop() {
            for (at, change) in self.open.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0) {
                let next = (change.of(value.as_deref()), done | 1 << at);
                if seen.insert(next.clone()) {
                    ahead.push(next);
                }
            }
        }
        seen.into_iter().filter_map(|(value, _)| value).collect()
    }

    /// A reply says that it has this value, or is missing.
    pub(crate) fn found(&mut self, found: Option<&str>) -> Verdict {
        let Some(value) = found else {
            self.values.clear();
            return Ok(());
        };
        self.is_among(value, &self.may_be())?;
        self.values = BTreeSet::from([value.to_owned()]);
        Ok(())
    }

    fn is_among(&self, value: &str, possible: &BTreeSet<String>) -> Verdict {
        match possible.contains(value) {
            true => Ok(()),
            false => Err(format!("{} cannot be {value:?}, but one of {possible:?}; open: {:?}", self.key, self.open)),
        }
    }

    /// A reply says that it is there.
    pub(crate) fn is_there(&self, said: &str) -> Verdict {
        match self.may_be().is_empty() {
            false => Ok(()),
            true => Err(format!("{} is missing, and yet {said}", self.key)),
        }
    }

    /// A reply says that a change was made.
    pub(crate) fn was_made(&mut self, change: &Change) {
        let missing = std::iter::once(None);
        let old = self.may_be();
        self.values =
            old.iter().map(|old| Some(old.as_str())).chain(missing).filter_map(|old| change.of(old)).collect();
        self.tried += 1;
        self.made += 1;
    }

    /// A reply says that a change was made if the item was there.
    pub(crate) fn was_changed(&mut self, change: &Change, said: &str) -> Verdict {
        self.is_there(said)?;
        self.was_made(change);
        Ok(())
    }

    /// A reply says which number a change has led to.
    pub(crate) fn was_counted(&mut self, change: &Change, number: u64) -> Verdict {
        let possible = self.may_be().iter().filter_map(|old| change.of(Some(old))).collect();
        let number = number.to_string();
        self.is_among(&number, &possible)?;
        self.was_made(change);
        self.values = BTreeSet::from([number]);
        Ok(())
    }

    /// A change was made by now, or will never be.
    pub(crate) fn may_be_made(&mut self, change: &Change) {
        let mut values = self.may_be();
        let made: Vec<_> =
            values.iter().map(|old| Some(old.as_str())).chain([None]).map(|old| change.of(old)).collect();
        values.extend(made.into_iter().flatten());
        self.values = values;
        self.tried += 1;
    }

    /// The outcome of a change is unknown, and it may still be made later.
    pub(crate) fn may_yet_be_made(&mut self, change: Change) {
        self.tried += 1;
        // That it is missing is possible in any case.
        if !matches!(change, Change::Delete) {
            self.open.push(change);
        }
    }

    /// Its value was fetched with this version.
    pub(crate) fn fetched(&mut self, cas: u64) {
        self.version = Some(Version { cas, tried: self.tried, made: self.made });
    }

    /// A version that was fetched before; it is kept once in a while, to be of an older value then.
    pub(crate) fn version(&mut self, rng: &mut Rng) -> Option<Version> {
        let version = self.version;
        if rng.below(3) > 0 {
            self.version = None;
        }
        version
    }

    /// A reply says that a value was stored, since the item had this version.
    pub(crate) fn was_replaced(&mut self, change: &Change, version: Version, restarts: bool) -> Verdict {
        // A server that was restarted counts its versions from the beginning.
        if version.made < self.made && !restarts {
            return Err(format!("{} is newer than the version that a cas has met", self.key));
        }
        self.was_changed(change, "a cas has met it")
    }

    /// A reply says that it has another version.
    pub(crate) fn is_newer(&self, version: Version) -> Verdict {
        if version.tried == self.tried && self.open.is_empty() {
            return Err(format!("{} has the version that a cas has not met", self.key));
        }
        self.is_there("a cas has found another version of it")
    }
}
