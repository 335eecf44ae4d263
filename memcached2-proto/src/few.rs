//! A list that seldom has more than one element.

/// None, one or many of something; one stays inline, so that the common case allocates nothing.
#[derive(Debug, Clone, Default)]
pub enum Few<T> {
    /// Nothing.
    #[default]
    None,
    /// One element, kept inline.
    One(T),
    /// Any number of elements.
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// Appends an element.
    #[inline]
    pub fn push(&mut self, element: T) {
        match self {
            // Nothing is there to be dropped, which the compiler does not see.
            Self::None => std::mem::forget(std::mem::replace(self, Self::One(element))),
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

    /// The elements.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    /// The elements, to be changed in place.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        }
    }

    /// The first element, when there is no other.
    #[inline]
    pub fn into_only(self) -> Option<T> {
        match self {
            Self::One(one) => Some(one),
            Self::None => None,
            Self::Many(mut many) => many.pop().filter(|_| many.is_empty()),
        }
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    #[inline]
    fn into_iter(self) -> IntoIter<T> {
        match self {
            Self::None => IntoIter::One(None),
            Self::One(one) => IntoIter::One(Some(one)),
            Self::Many(many) => IntoIter::Many(many.into_iter()),
        }
    }
}

/// The elements of a [`Few`], one after the other.
#[derive(Debug)]
pub enum IntoIter<T> {
    /// At most one is left, inline.
    One(Option<T>),
    /// Any number is left.
    Many(std::vec::IntoIter<T>),
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match self {
            Self::One(one) => one.take(),
            Self::Many(many) => many.next(),
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut few = Self::None;
        elements.into_iter().for_each(|element| few.push(element));
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back_in_order_however_many_there_are() {
        for count in 0..20 {
            let mut few: Few<u32> = (0..count).collect();
            let expected: Vec<u32> = (0..count).collect();
            assert_eq!(few.as_slice(), expected);
            assert_eq!(few.as_mut_slice(), expected);
            assert_eq!(few.clone().into_only(), (count == 1).then_some(0));
            assert_eq!(few.into_iter().collect::<Vec<_>>(), expected);
        }
    }
}
