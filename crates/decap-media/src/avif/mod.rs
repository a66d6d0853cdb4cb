//! AVIF to pixels: its container is read here, its frames by rav1d.

mod colour;
mod container;

use re_rav1d::dav1d::pixel::YUVRange;
use re_rav1d::dav1d::{DecodeFrameType, Decoder, Error, Picture, Settings};

use self::colour::Colours;
use self::container::{Container, Grid};
use crate::RgbImage;
use crate::error::InputFault;
use crate::limits::{Limits, check_decoder_bytes, check_pixels};
use crate::samples::{Channels, to_rgb, unmultiplied};

/// Decodes the primary picture to RGB, turned and mirrored as the container says. PQ and HLG keep their
/// numbers, as do all colour spaces here.
///
/// # Errors
/// Animations without a still picture, rare colour coefficients and pictures that are neither one frame nor
/// a grid of them are unsupported.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, InputFault> {
    let container =
        Container::of(bytes).ok_or_else(|| match crate::boxes::first(bytes, b"moov") {
            Some(_) => unread("that is an animation without a still picture"),
            None => damaged(),
        })?;
    let item = container.primary();
    let (width, height) = size_of(&container, item)?;
    check_pixels(width, height, limits)?;
    check_decoder_bytes(bytes_taken(width, height), limits)?;

    let picture = Item {
        container: &container,
        item,
        part: Part::Colours,
    };
    let mut pixels = picture.decode(width, height)?;
    if let Some(mask) = mask_item(&container, item) {
        let is_premultiplied = container.named_by(item, b"prem").contains(&mask);
        let mask = Item {
            container: &container,
            item: mask,
            part: Part::Mask,
        };
        let mask = mask.decode(width, height)?;
        pixels = on_white(&pixels, &mask, is_premultiplied);
    }
    let image = RgbImage::of_decoder(width, height, pixels)?;
    Ok(turned(image, &container, item))
}

/// About how many bytes [`decode`] takes at its peak; `None` for what it does not read.
pub(super) fn memory_to_decode(bytes: &[u8]) -> Option<u64> {
    let container = Container::of(bytes)?;
    let (width, height) = container.size(container.primary())?;
    Some(bytes_taken(width, height))
}

/// Samples of two bytes in three planes, some more for what a frame is made of, pixels with transparency.
fn bytes_taken(width: u32, height: u32) -> u64 {
    const PIXEL_BYTES: u64 = 16;
    (u64::from(width) * u64::from(height)).saturating_mul(PIXEL_BYTES)
}

/// What is wanted of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `[height, width, 3]`.
    Colours,
    /// `[height, width]`.
    Mask,
}

impl Part {
    fn channels(self) -> usize {
        match self {
            Self::Colours => 3,
            Self::Mask => 1,
        }
    }
}

/// An item that holds pixels.
#[derive(Clone, Copy)]
struct Item<'a> {
    container: &'a Container<'a>,
    item: u32,
    part: Part,
}

impl Item<'_> {
    /// The samples of one frame, or of a grid of frames, which must have the given size.
    fn decode(self, width: u32, height: u32) -> Result<Vec<u8>, InputFault> {
        match self.container.kind(self.item).as_ref() {
            Some(b"av01") => self.decode_frame(self.item, width, height),
            Some(b"grid") => self.decode_grid(width, height),
            Some(_) => Err(unread("whose picture is neither AV1 nor a grid of it")),
            None => Err(damaged()),
        }
    }

    fn decode_frame(self, item: u32, width: u32, height: u32) -> Result<Vec<u8>, InputFault> {
        let data = self.container.data(item).ok_or_else(cut_short)?;
        let picture = decode_av1(data.into_owned(), width, height)?;
        if (picture.width(), picture.height()) != (width, height) {
            return Err(InputFault::Damaged(format!(
                "expected a frame of {width} x {height} pixels, got {} x {}",
                picture.width(),
                picture.height()
            )));
        }
        let property = |item| {
            let mut properties = self.container.properties(item);
            properties
                .find(|(kind, content)| kind == b"colr" && content.starts_with(b"nclx"))
                .map(|(_, content)| content)
        };
        match self.part {
            Part::Colours => {
                // A grid says it for its tiles.
                let property = property(self.item).or_else(|| property(item));
                let colours = Colours::of(property, &picture)
                    .ok_or_else(|| unread("of rare colour coefficients"))?;
                Ok(colour::rgb_of(&picture, colours))
            }
            Part::Mask => {
                let is_full_range = picture.color_range() == YUVRange::Full;
                Ok(colour::mask_of(&picture, is_full_range))
            }
        }
    }

    fn decode_grid(self, width: u32, height: u32) -> Result<Vec<u8>, InputFault> {
        let data = self.container.data(self.item).ok_or_else(cut_short)?;
        let grid = Grid::of(&data).ok_or_else(damaged)?;
        let tiles = self.container.named_by(self.item, b"dimg");
        if tiles.len() != grid.rows * grid.columns || (grid.width, grid.height) != (width, height) {
            return Err(damaged());
        }
        let (tile_width, tile_height) = size_of(self.container, tiles[0])?;
        // Tiles that lie outside would be decoded for nothing: as many as fit, and no larger.
        let is_covering = |edge: u32, tile: u32, tiles: usize| {
            let covered = u64::from(tile) * tiles as u64;
            tile > 0 && covered >= edge.into() && covered - u64::from(tile) < edge.into()
        };
        if !is_covering(width, tile_width, grid.columns)
            || !is_covering(height, tile_height, grid.rows)
        {
            return Err(damaged());
        }
        let channels = self.part.channels();
        let row_bytes = width as usize * channels;
        let mut samples = vec![0; row_bytes * height as usize];
        for (index, &tile) in tiles.iter().enumerate() {
            if self.container.kind(tile) != Some(*b"av01") {
                return Err(unread("whose picture is neither AV1 nor a grid of it"));
            }
            let part = self.decode_frame(tile, tile_width, tile_height)?;
            let left = index % grid.columns * tile_width as usize;
            let top = index / grid.columns * tile_height as usize;
            let bytes = (width as usize - left).min(tile_width as usize) * channels;
            let rows = part.chunks_exact(tile_width as usize * channels);
            let targets = samples.chunks_exact_mut(row_bytes).skip(top);
            for (row, target) in rows.zip(targets) {
                target[left * channels..][..bytes].copy_from_slice(&row[..bytes]);
            }
        }
        Ok(samples)
    }
}

/// The first frame of an AV1 stream.
fn decode_av1(data: Vec<u8>, width: u32, height: u32) -> Result<Picture, InputFault> {
    /// Parts of a stream that the decoder takes before a frame comes out.
    const MOST_TURNS: usize = 1000;
    // The decoder asserts that there are some.
    if data.is_empty() {
        return Err(damaged());
    }
    let mut settings = Settings::new();
    // On this thread: photos are decoded side by side already.
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(false);
    settings.set_frame_size_limit(width.saturating_mul(height));
    // A still picture is one: what is made of other frames would be an animation.
    settings.set_decode_frame_type(DecodeFrameType::Key);
    let mut decoder = Decoder::with_settings(&settings).map_err(fault_of)?;
    match decoder.send_data(data, None, None, None) {
        Ok(()) | Err(Error::Again) => {}
        Err(error) => return Err(fault_of(error)),
    }
    for _ in 0..MOST_TURNS {
        match decoder.get_picture() {
            Ok(picture) => return Ok(picture),
            Err(Error::Again) => {}
            Err(error) => return Err(fault_of(error)),
        }
        // It takes more of what it has got, or it has had all of it.
        match decoder.send_pending_data() {
            Ok(()) => break,
            Err(Error::Again) => {}
            Err(error) => return Err(fault_of(error)),
        }
    }
    decoder.get_picture().map_err(|_| cut_short())
}

fn size_of(container: &Container, item: u32) -> Result<(u32, u32), InputFault> {
    let size = container.size(item);
    size.ok_or_else(|| InputFault::Damaged("expected an AVIF that tells its size".into()))
}

/// The item that is the transparency of another.
fn mask_item(container: &Container, item: u32) -> Option<u32> {
    const KINDS: [&[u8]; 2] = [
        b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0",
        b"urn:mpeg:hevc:2015:auxid:1\0",
    ];
    container.naming(item, b"auxl").find(|&mask| {
        let kind = container.property(mask, b"auxC").and_then(|it| it.get(4..));
        kind.is_some_and(|kind| KINDS.iter().any(|known| kind.starts_with(known)))
    })
}

fn on_white(pixels: &[u8], mask: &[u8], is_premultiplied: bool) -> Vec<u8> {
    let with_mask = pixels.chunks_exact(3).zip(mask).flat_map(|(rgb, &alpha)| {
        let value = |at: usize| match is_premultiplied {
            true => unmultiplied(rgb[at], alpha),
            false => rgb[at],
        };
        [value(0), value(1), value(2), alpha]
    });
    to_rgb(with_mask.collect(), Channels::RgbAlpha)
}

/// Turned and mirrored, in the order of the properties. EXIF's orientation is not for the reader of a HEIF
/// file (ISO/IEC 23008-12, annex A).
fn turned(image: RgbImage, container: &Container, item: u32) -> RgbImage {
    container
        .properties(item)
        .fold(image, |image, (kind, content)| {
            let number = content.first().copied().unwrap_or(0);
            match &kind {
                // Quarters against the clock.
                b"irot" => (0..(4 - (number & 3)) % 4).fold(image, |it, _| it.turned_right()),
                b"imir" if number & 1 == 1 => image.mirrored(),
                // Top and bottom exchanged.
                b"imir" => image.mirrored().turned_right().turned_right(),
                _ => image,
            }
        })
}

fn unread(what: &str) -> InputFault {
    InputFault::Unsupported(format!(
        "an AVIF {what} is not read; convert it to JPEG or PNG"
    ))
}

fn damaged() -> InputFault {
    InputFault::Damaged("the AVIF photo is damaged or cut short".into())
}

fn cut_short() -> InputFault {
    InputFault::Damaged("cut short: the end of the AVIF photo is missing".into())
}

fn fault_of(error: Error) -> InputFault {
    match error {
        Error::NotEnoughMemory => {
            InputFault::TooLarge("expected memory for a frame, got none".into())
        }
        Error::UnsupportedBitstream => unread("of a rare kind of AV1"),
        _ => damaged(),
    }
}
