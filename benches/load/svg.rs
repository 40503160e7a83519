//! The plot: a bar per contender and case, the median, with a mark at the minimum. A case is its own scale.

use std::fmt::Write as _;

use crate::case::Load;
use crate::contender::Kind;
use crate::report::Row;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 300.0;
const BARS: f64 = 420.0;
const BAR: f64 = 14.0;
const GAP: f64 = 14.0;

pub(crate) fn plot(rows: &[Row]) -> String {
    let mut body = String::new();
    let mut y = 50.0;
    for group in rows.chunk_by(|a, b| a.case.name == b.case.name) {
        let scale = group.iter().map(Row::median).fold(1.0, f64::max);
        let idle = matches!(group[0].case.load, Load::Idle(_));
        let middle = y + BAR * group.len() as f64 / 2.0 + 4.0;
        let _ =
            writeln!(body, "<text x='{}' y='{middle}' text-anchor='end'>{}</text>", LABELS - 8.0, group[0].case.about);
        for row in group {
            let (median, min) = (row.median(), row.min());
            let width = BARS * median / scale;
            let mark = LABELS + BARS * min / scale;
            let value = if idle { format!("{median:.0} B") } else { format!("{median:.1} us") };
            let _ = writeln!(
                body,
                "<rect x='{LABELS}' y='{y}' width='{width:.1}' height='{}' fill='{}'/>",
                BAR - 2.0,
                colour(row.kind)
            );
            let _ = writeln!(body, "<path d='M{mark:.1} {y}v{}' stroke='#000'/>", BAR - 2.0);
            let _ = writeln!(body, "<text x='{:.1}' y='{:.1}'>{value}</text>", LABELS + width + 5.0, y + BAR - 4.0);
            y += BAR;
        }
        y += GAP;
    }
    let mut legend = String::new();
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        let x = LABELS + 90.0 * index as f64;
        let _ = writeln!(
            legend,
            "<rect x='{x}' y='28' width='10' height='10' fill='{}'/><text x='{}' y='37'>{}</text>",
            colour(kind),
            x + 14.0,
            kind.label()
        );
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{y}' font-family='sans-serif' font-size='11'>\n\
         <rect width='100%' height='100%' fill='#fff'/>\n\
         <text x='8' y='16' font-size='13'>CPU of the proxy per request, memory of an idle connection: less is better (bar: median, mark: minimum)</text>\n\
         {legend}{body}</svg>\n"
    )
}

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Ringway => "#d1495b",
        Kind::Without => "#e8a2ab",
        Kind::Nginx => "#4c9f70",
        Kind::Haproxy => "#4a7fb5",
    }
}
