//! The examples of the workspace's README, compiled and run as tests.
#![cfg_attr(doctest, doc = include_str!("../../../README.md"))]
