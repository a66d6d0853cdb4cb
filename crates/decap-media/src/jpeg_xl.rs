//! JPEG XL to pixels.

use jxl::api::{
    AlphaMode, Endianness, Event, ExtraChannel, JxlBasicInfo, JxlColorType, JxlDataFormat,
    JxlDecoder, JxlDecoderOptions, JxlOutputBuffer, JxlParallelRunner, JxlParallelRunnerFun,
    JxlPixelFormat, JxlTransferFunction, ProfileLevel,
};
use jxl::error::Error;

use crate::RgbImage;
use crate::error::InputFault;
use crate::limits::{Limits, check_decoder_bytes, check_pixels};
use crate::samples::{Channels, to_rgb};

/// Decodes the first frame to RGB, upright: the codec turns it. A photo of linear light is brought to
/// sRGB's curve; of other colour spaces the numbers stay as they are, as everywhere here.
///
/// # Errors
/// CMYK is unsupported.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, InputFault> {
    let mut input = bytes;
    let (mut decoder, info) = begin(&mut input, limits)?;
    let (width, height) = size_of(&info)?;
    check_pixels(width, height, limits)?;
    check_decoder_bytes(bytes_taken(&info), limits)?;

    let profile = decoder.embedded_color_profile();
    if profile.is_some_and(|profile| profile.is_cmyk()) {
        return Err(InputFault::Unsupported(
            "a JPEG XL of CMYK is not read; convert it to JPEG or PNG".into(),
        ));
    }
    let is_grey = profile.is_some_and(|profile| profile.channels() == 1);
    let channels = match (is_grey, has_alpha(&info)) {
        (true, false) => Channels::Grey,
        (true, true) => Channels::GreyAlpha,
        (false, false) => Channels::Rgb,
        (false, true) => Channels::RgbAlpha,
    };
    let narrow = JxlDataFormat::U8 { bit_depth: 8 };
    set_format(&mut decoder, channels, narrow, &info)?;
    let is_linear = decoder
        .output_color_profile()
        .and_then(|profile| profile.transfer_function())
        .is_some_and(|curve| *curve == JxlTransferFunction::Linear);
    let wide = JxlDataFormat::U16 {
        endianness: Endianness::LittleEndian,
        bit_depth: 16,
    };
    if is_linear {
        set_format(&mut decoder, channels, wide, &info)?;
    }

    let sample_bytes = if is_linear { 2 } else { 1 };
    let row_bytes = width as usize * channels.count() * sample_bytes;
    let mut samples = vec![0; row_bytes * height as usize];
    let mut budget = Budget::of(width, height);
    loop {
        let mut buffers = [JxlOutputBuffer::new(
            &mut samples,
            height as usize,
            row_bytes,
        )];
        let event = decoder
            .process(&mut input, Some(&mut buffers), Some(&mut budget))
            .map_err(fault_of)?;
        match event {
            Event::NeedMoreInput { .. } => return Err(cut_short()),
            Event::FrameComplete { .. } => break,
            Event::Complete => {
                return Err(InputFault::Damaged("expected a frame, got none".into()));
            }
            _ => {}
        }
    }
    if is_linear {
        samples = on_srgb_curve(&samples, channels);
    }
    RgbImage::of_decoder(width, height, to_rgb(samples, channels))
}

/// About how many bytes [`decode`] takes at its peak; `None` for what it does not read.
pub(super) fn memory_to_decode(bytes: &[u8]) -> Option<u64> {
    let (_, info) = begin(&mut &*bytes, &Limits::default()).ok()?;
    Some(bytes_taken(&info))
}

/// A decoder that has read the header.
fn begin(input: &mut &[u8], limits: &Limits) -> Result<(JxlDecoder, JxlBasicInfo), InputFault> {
    let mut options = JxlDecoderOptions::default();
    options.alpha_mode = AlphaMode::Unpremultiplied;
    options.max_profile_level = ProfileLevel::Main10;
    // Of each frame, those that are not shown included.
    let samples = limits.decoder_bytes / SAMPLE_BYTES;
    options.sample_limit = Some(usize::try_from(samples).unwrap_or(usize::MAX));
    let mut decoder = JxlDecoder::new(options);
    match decoder.process(input, None, None).map_err(fault_of)? {
        Event::BasicInfo => {}
        _ => return Err(cut_short()),
    }
    let info = decoder.basic_info().cloned();
    let info = info.ok_or_else(|| InputFault::Damaged("expected a header, got none".into()))?;
    Ok((decoder, info))
}

/// What a sample takes while it is decoded: a float. Most frames are decoded in parts and take far less.
const SAMPLE_BYTES: u64 = 4;

fn bytes_taken(info: &JxlBasicInfo) -> u64 {
    let pixels = (info.size.0 as u64).saturating_mul(info.size.1 as u64);
    let samples = pixels.saturating_mul(3 + info.extra_channels.len() as u64);
    // And the pixels that are made of them.
    samples
        .saturating_mul(SAMPLE_BYTES)
        .saturating_add(pixels.saturating_mul(4))
}

fn size_of(info: &JxlBasicInfo) -> Result<(u32, u32), InputFault> {
    let size = u32::try_from(info.size.0)
        .ok()
        .zip(u32::try_from(info.size.1).ok());
    size.ok_or_else(|| InputFault::Damaged("no usable size".into()))
}

fn has_alpha(info: &JxlBasicInfo) -> bool {
    let mut extra = info.extra_channels.iter();
    extra.any(|channel| channel.ec_type == ExtraChannel::Alpha)
}

fn set_format(
    decoder: &mut JxlDecoder,
    channels: Channels,
    format: JxlDataFormat,
    info: &JxlBasicInfo,
) -> Result<(), InputFault> {
    let color_type = match channels {
        Channels::Grey => JxlColorType::Grayscale,
        Channels::GreyAlpha => JxlColorType::GrayscaleAlpha,
        Channels::RgbAlpha => JxlColorType::Rgba,
        _ => JxlColorType::Rgb,
    };
    let format = JxlPixelFormat {
        color_type,
        color_data_format: Some(format),
        extra_channel_format: vec![None; info.extra_channels.len()],
    };
    decoder.set_pixel_format(format).map_err(fault_of)
}

/// `samples`, little-endian u16 of linear light, as u8 on sRGB's curve (IEC 61966-2-1); alpha is no light.
fn on_srgb_curve(samples: &[u8], channels: Channels) -> Vec<u8> {
    let has_alpha = matches!(channels, Channels::GreyAlpha | Channels::RgbAlpha);
    let count = channels.count();
    let sample = |(at, bytes): (usize, &[u8])| {
        let linear = f32::from(u16::from_le_bytes([bytes[0], bytes[1]])) / 65535.0;
        let value = match linear {
            _ if has_alpha && at % count == count - 1 => linear,
            dark if dark <= 0.003_130_8 => 12.92 * dark,
            light => 1.055 * light.powf(1.0 / 2.4) - 0.055,
        };
        (value * 255.0).round() as u8 // saturates
    };
    samples.chunks_exact(2).enumerate().map(sample).collect()
}

/// How much work a photo may ask for. A few bytes can describe thousands of frames that are never shown.
struct Budget {
    /// Parts of frames that may still be decoded.
    parts: usize,
}

impl Budget {
    fn of(width: u32, height: u32) -> Self {
        const GROUP_SIDE: u32 = 128; // the smallest
        const FRAMES_AND_PASSES: usize = 64;
        let groups = width.div_ceil(GROUP_SIDE) as usize * height.div_ceil(GROUP_SIDE) as usize;
        Self {
            parts: groups.saturating_add(64).saturating_mul(FRAMES_AND_PASSES),
        }
    }
}

impl JxlParallelRunner for Budget {
    fn run(&mut self, num: usize, fun: &JxlParallelRunnerFun<'_>) -> jxl::error::Result<()> {
        self.parts = self
            .parts
            .checked_sub(num.max(1))
            .ok_or(Error::ApiUsageError(TOO_MUCH_WORK))?;
        (0..num).try_for_each(fun)
    }

    fn run_ordered(
        &mut self,
        num: usize,
        _max_threads: Option<usize>,
        fun: &JxlParallelRunnerFun<'_>,
    ) -> jxl::error::Result<()> {
        self.run(num, fun)
    }

    fn num_threads(&self) -> usize {
        1
    }
}

const TOO_MUCH_WORK: &str = "too much work";

fn cut_short() -> InputFault {
    InputFault::Damaged("cut short: the end of the JPEG XL photo is missing".into())
}

fn fault_of(error: Error) -> InputFault {
    match error {
        Error::OutOfMemory(_)
        | Error::ImageOutOfMemory(..)
        | Error::ImageSizeTooLarge(..)
        | Error::ImageDimensionTooLarge(_) => InputFault::TooLarge(error.to_string()),
        Error::ApiUsageError(TOO_MUCH_WORK) => InputFault::TooLarge(
            "expected a JPEG XL of a few frames, got more before the first that is shown".into(),
        ),
        // The decoder's words are about its own parts.
        _ => InputFault::Damaged("the JPEG XL photo is damaged or cut short".into()),
    }
}
