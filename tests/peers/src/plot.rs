//! Horizontal bars in groups, as an SVG that can stand inside of a page: its text has the colour of the text around it, and its bars
//! can be told apart on a light and on a dark ground.

use std::fmt::Write as _;

/// What a bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shade {
    Floor,
    Ours,
    Other,
}

impl Shade {
    fn color(self) -> &'static str {
        match self {
            Self::Floor => "#8c8c8c",
            Self::Ours => "#2f81d7",
            Self::Other => "#d98a2b",
        }
    }
}

/// A bar with a name before it and a text behind it.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    pub(crate) text: String,
    pub(crate) shade: Shade,
}

/// Bars that are compared with each other: the longest one is as long as the place allows.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

/// The height of a bar with the space around it.
const ROW: usize = 15;
/// The height of the title of a group.
const HEAD: usize = 30;
/// The width of a column, of its names, and of its longest bar.
const COLUMN: usize = 470;
const LABEL: usize = 220;
const BAR: usize = 160;

impl Group {
    fn height(&self) -> usize {
        HEAD + ROW * self.bars.len()
    }
}

/// Draws the groups in two columns. There are no empty lines in it, so that it can stand in Markdown.
pub(crate) fn svg(title: &str, groups: &[Group]) -> String {
    let whole: usize = groups.iter().map(Group::height).sum();
    let (mut column, mut y, mut lowest, mut drawn) = (0, 24, 24, String::new());
    for group in groups {
        if column == 0 && y > 24 && y - 24 + group.height() / 2 > whole.div_ceil(2) {
            (column, y) = (1, 24);
        }
        draw(&mut drawn, group, column * (COLUMN + 20), y);
        y += group.height();
        lowest = lowest.max(y);
    }
    let (width, height, title) = (2 * COLUMN + 20, lowest + 8, escaped(title));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"100%\" role=\"img\" \
         aria-label=\"{title}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"currentColor\">\n\
         <text x=\"0\" y=\"14\" font-size=\"13\" font-weight=\"bold\">{title}</text>\n{drawn}</svg>\n"
    )
}

/// Draws a group with its upper left corner there.
fn draw(drawn: &mut String, group: &Group, x: usize, y: usize) {
    let longest = group.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(drawn, "{text}").expect("a string takes it");
    let title = escaped(&group.title);
    line(format_args!("<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{title}</text>", x + LABEL + 6, y + 22));
    for (at, bar) in group.bars.iter().enumerate() {
        let (top, start) = (y + HEAD + at * ROW, x + LABEL + 6);
        let (length, base) = ((bar.value / longest * BAR as f64).max(1.0), top + 10);
        let (label, text, color) = (escaped(&bar.label), escaped(&bar.text), bar.shade.color());
        line(format_args!("<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{label}</text>", x + LABEL));
        line(format_args!(
            "<rect x=\"{start}\" y=\"{top}\" width=\"{length:.1}\" height=\"12\" fill=\"{color}\"></rect>"
        ));
        line(format_args!("<text x=\"{:.1}\" y=\"{base}\">{text}</text>", start as f64 + length + 4.0));
    }
}

/// Returns a text as it stands in XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
