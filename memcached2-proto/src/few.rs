//! A list that seldom has more than one element.

/// None, one or many of something; one stays inline, so that the common case allocates nothing.
#[derive(Debug, Clone, Default)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// Appends an element.
    #[inline]
    pub(crate) fn push(&mut self, element: T) {
        match self {
            Self::None => *self = Self::One(element),
            Self::Many(many) => many.push(element),
            Self::One(_) => self.push_second(element),
        }
    }

    #[cold]
    #[inline(never)]
    fn push_second(&mut self, element: T) {
        if let Self::One(first) = std::mem::take(self) {
            let mut many = Vec::with_capacity(8);
            many.push(first);
            many.push(element);
            *self = Self::Many(many);
        }
    }

    /// All elements.
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back_in_order_however_many_there_are() {
        for count in 0..20 {
            let mut few = Few::None;
            (0..count).for_each(|element| few.push(element));
            assert_eq!(few.into_vec(), (0..count).collect::<Vec<_>>());
        }
    }
}
