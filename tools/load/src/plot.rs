//! Curves as SVG.

use std::path::Path;

use plotters::prelude::*;

use crate::LoadError;

/// One curve: its name, and its points.
pub type Curve = (String, Vec<(f64, f64)>);

/// What a plot shows.
#[derive(Clone, Copy, Debug)]
pub struct Plot<'a> {
    /// Above it.
    pub title: &'a str,
    /// Below the horizontal axis.
    pub x: &'a str,
    /// Beside the vertical axis.
    pub y: &'a str,
    /// Whether the horizontal axis is logarithmic.
    pub is_x_logarithmic: bool,
    /// The curves; those without points are left out.
    pub curves: &'a [Curve],
}

/// Picture size in pixels.
const SIZE: (u32, u32) = (900, 520);

/// Smallest value on a logarithmic axis.
const LOGARITHMIC_MIN: f64 = 1e-3;

impl Plot<'_> {
    /// Writes the picture.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), LoadError> {
        let mut svg = String::new();
        self.draw(&mut svg)
            .and_then(|()| std::fs::write(path, svg).map_err(|it| it.to_string()))
            .map_err(|error| LoadError::System {
                what: format!("draw {}", path.display()),
                error: std::io::Error::other(error),
            })
    }

    fn draw(&self, svg: &mut String) -> Result<(), String> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(|it| it.to_string())?;
        let points = || self.curves.iter().flat_map(|(_, points)| points);
        let x = bounds(points().map(|it| it.0));
        let y = bounds(points().map(|it| it.1));
        let mut builder = ChartBuilder::on(&area);
        builder
            .caption(self.title, ("sans-serif", 22))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(64);
        // From zero, so that curves compare as they look.
        let y = 0.0..y.1 * 1.05;
        if self.is_x_logarithmic {
            let x = x.0.max(LOGARITHMIC_MIN)..x.1.max(2.0 * LOGARITHMIC_MIN);
            let chart = builder.build_cartesian_2d(x.log_scale(), y);
            self.fill(chart.map_err(|it| it.to_string())?)?;
        } else {
            let chart = builder.build_cartesian_2d(x.0..x.1, y);
            self.fill(chart.map_err(|it| it.to_string())?)?;
        }
        area.present().map_err(|it| it.to_string())
    }

    fn fill<'a, X>(
        &self,
        mut chart: ChartContext<
            'a,
            SVGBackend<'a>,
            Cartesian2d<X, plotters::coord::types::RangedCoordf64>,
        >,
    ) -> Result<(), String>
    where
        X: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
    {
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|it| label(*it))
            .y_label_formatter(&|it| label(*it))
            .label_style(("sans-serif", 14))
            .draw()
            .map_err(|it| it.to_string())?;
        let curves = self.curves.iter().filter(|(_, points)| !points.is_empty());
        for (index, (name, points)) in curves.enumerate() {
            let style = Palette99::pick(index).stroke_width(2);
            let line = LineSeries::new(points.iter().copied(), style).point_size(2);
            chart
                .draw_series(line)
                .map_err(|it| it.to_string())?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .label_font(("sans-serif", 14))
            .position(SeriesLabelPosition::UpperLeft)
            .draw()
            .map_err(|it| it.to_string())
    }
}

/// As short as it can be: 7000, 0.5.
fn label(value: f64) -> String {
    format!("{}", (value * 1e3).round() / 1e3)
}

/// Smallest and greatest of the values, apart even if there is but one.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let both = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    match both {
        (low, high) if low < high => (low, high),
        (low, high) if low == high => (low, low + 1.0),
        _ => (0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_whatever_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        let curve = |points: &[(f64, f64)]| vec![("a <curve>".to_owned(), points.to_vec())];
        let sets = [
            vec![],
            curve(&[]),
            curve(&[(3.0, 4.0)]),
            curve(&[(1.0, 2.0), (9.0, 3.0)]),
        ];
        for curves in &sets {
            for is_x_logarithmic in [false, true] {
                let plot = Plot {
                    title: "loss & latency",
                    x: "x",
                    y: "y",
                    is_x_logarithmic,
                    curves,
                };
                plot.write(&path).unwrap();
                let svg = std::fs::read_to_string(&path).unwrap();
                assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
                assert!(!svg.contains("a <curve>"), "not escaped");
            }
        }
    }

    #[test]
    fn labels_are_short() {
        let texts = [7_000.0, 0.1 + 0.2, 0.0].map(label);
        assert_eq!(texts, ["7000", "0.3", "0"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let plot = Plot {
            title: "",
            x: "",
            y: "",
            is_x_logarithmic: false,
            curves: &[],
        };
        assert!(plot.write(Path::new("/no/such/folder/plot.svg")).is_err());
    }
}
