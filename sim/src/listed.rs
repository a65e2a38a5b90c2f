//! Enumerations with a list of all their members. In a list that is written by hand, a new member
//! could be forgotten.

/// Declares an enumeration without data, and `ALL`, the list of its members in their order.
macro_rules! listed {
    ($(#[$outer:meta])* pub enum $name:ident { $($(#[$doc:meta])* $member:ident,)* }) => {
        $(#[$outer])*
        pub enum $name { $($(#[$doc])* $member,)* }

        impl $name {
            /// All members, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$member,)*];
        }
    };
}

pub(crate) use listed;
