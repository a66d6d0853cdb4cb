//! The matrix unit in software, for tests on processors without it.
//!
//! There the unit's instructions raise SIGILL; a signal handler does their work and continues after them. Encoding and
//! operation follow Intel's Software Developer's Manual, volume 2, for the instructions of [`super::multiply`].

use std::cell::UnsafeCell;
use std::sync::OnceLock;

const ROWS: usize = 16;
const ROW_BYTES: usize = 64;

/// A register, 16 rows of 64 bytes.
type Tile = [[u8; ROW_BYTES]; ROWS];

/// The registers of a thread, all of full size, as [`super::registers`] configures them.
struct Registers {
    is_configured: bool,
    tiles: [Tile; 8],
}

thread_local! {
    static REGISTERS: UnsafeCell<Registers> = const {
        UnsafeCell::new(Registers {
            is_configured: false,
            tiles: [[[0; ROW_BYTES]; ROWS]; 8],
        })
    };
}

/// Installs the handler; false if that fails.
pub(super) fn install() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        // SAFETY: all zeros is an action without flags; the handler has the signature of `SA_SIGINFO`.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_trap as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()) == 0
        }
    })
}

/// Emulates the instruction that trapped; aborts the process if it is not one of the unit's.
extern "C" fn on_trap(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with `SA_SIGINFO` the context is one of these, and no one else looks at it meanwhile.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let general = &mut context.uc_mcontext.gregs;
    let at = general[libc::REG_RIP as usize] as *const u8;
    // SAFETY: the processor has read the instruction there; none is longer than fifteen bytes, and what follows the
    // end of the code of a loop is code.
    let Some(instruction) = (unsafe { Instruction::decode(at, general) }) else {
        std::process::abort();
    };
    REGISTERS.with(|registers| {
        // SAFETY: only this handler takes the registers of its thread, and it does not trap itself.
        let registers = unsafe { &mut *registers.get() };
        // SAFETY: the instruction would have read and written the same memory.
        unsafe { instruction.run(registers) };
    });
    general[libc::REG_RIP as usize] += instruction.len;
}

/// Prefix `pp` of a VEX encoding.
const NONE: u8 = 0;
const P66: u8 = 1;
const PF3: u8 = 2;
const PF2: u8 = 3;

struct Instruction {
    len: i64,
    opcode: u8,
    prefix: u8,
    /// Fields of the encoding that name registers: `ModRM.reg`, `ModRM.rm` and `VEX.vvvv`.
    registers: [usize; 3],
    /// Address and stride of the operand in memory, if there is one.
    memory: Option<(usize, isize)>,
}

impl Instruction {
    /// Decodes a three-byte VEX encoding of map 0F38; the unit has no other.
    unsafe fn decode(at: *const u8, general: &[i64; 23]) -> Option<Self> {
        // SAFETY: by the caller.
        let byte = |index: usize| unsafe { *at.add(index) };
        if byte(0) != 0xc4 || byte(1) & 0x1f != 2 {
            return None;
        }
        let extended = |bit: u8| usize::from(byte(1) & bit == 0) * 8;
        let [mode, reg, rm] = [byte(4) >> 6, byte(4) >> 3 & 7, byte(4) & 7];
        let mut len = 5;
        let memory = if mode == 3 {
            None
        } else {
            let (mut base, mut stride) = (usize::from(rm), 0);
            if rm == 4 {
                let [scale, index, low] = [byte(5) >> 6, byte(5) >> 3 & 7, byte(5) & 7];
                let index = usize::from(index) + extended(0x40);
                if index != 4 {
                    stride = general_register(general, index) << scale;
                }
                base = usize::from(low);
                len = 6;
            }
            if mode == 0 && base == 5 {
                return None;
            }
            let displacement = match mode {
                0 => 0,
                1 => i64::from(byte(len) as i8),
                _ => i64::from(i32::from_le_bytes(std::array::from_fn(|i| byte(len + i)))),
            };
            len += [0, 1, 4][usize::from(mode)];
            let address = general_register(general, base + extended(0x20)) + displacement;
            Some((address as usize, stride as isize))
        };
        Some(Self {
            len: len as i64,
            opcode: byte(3),
            prefix: byte(2) & 3,
            registers: [reg, rm, !(byte(2) >> 3) & 7].map(usize::from),
            memory,
        })
    }

    /// # Safety
    /// The memory operand, 16 rows of 64 bytes or a configuration, must be there.
    unsafe fn run(&self, unit: &mut Registers) {
        let [target, a, b] = self.registers;
        let row_at = |row: usize| {
            let (address, stride) = self.memory.unwrap_or_default();
            address.wrapping_add_signed(row as isize * stride) as *mut [u8; ROW_BYTES]
        };
        if (self.opcode, self.prefix) == (0x49, NONE) && self.memory.is_some() {
            unit.is_configured = true;
            return;
        }
        if !unit.is_configured {
            std::process::abort();
        }
        match (self.opcode, self.prefix) {
            // tileloadd
            (0x4b, PF2) => {
                for (index, row) in unit.tiles[target].iter_mut().enumerate() {
                    // SAFETY: by the caller.
                    *row = unsafe { row_at(index).read_unaligned() };
                }
            }
            // tilestored
            (0x4b, PF3) => {
                for (index, row) in unit.tiles[target].iter().enumerate() {
                    // SAFETY: by the caller.
                    unsafe { row_at(index).write_unaligned(*row) };
                }
            }
            // tdpbf16ps
            (0x5c, PF3) => {
                let [a, b] = [unit.tiles[a], unit.tiles[b]];
                // SAFETY: emulation is for processors with AVX-512, which have FMA.
                unsafe { add_bf16(&mut unit.tiles[target], &a, &b) };
            }
            // tdpbusd
            (0x5e, P66) => {
                let [a, b] = [unit.tiles[a], unit.tiles[b]];
                add_bytes(&mut unit.tiles[target], &a, &b, i32::from);
            }
            // tdpbssd
            (0x5e, PF2) => {
                let [a, b] = [unit.tiles[a], unit.tiles[b]];
                let signed = |byte| i32::from(byte as i8);
                add_bytes(&mut unit.tiles[target], &a, &b, signed);
            }
            // tilezero
            (0x49, PF2) => unit.tiles[target] = [[0; ROW_BYTES]; ROWS],
            _ => std::process::abort(),
        }
    }
}

/// A general register by its number in an encoding.
fn general_register(general: &[i64; 23], number: usize) -> i64 {
    const ORDER: [libc::c_int; 16] = [
        libc::REG_RAX,
        libc::REG_RCX,
        libc::REG_RDX,
        libc::REG_RBX,
        libc::REG_RSP,
        libc::REG_RBP,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
    ];
    general[ORDER[number] as usize]
}

/// Pairs of bf16: the products of the first and of the second of each pair are summed separately, then added.
#[target_feature(enable = "avx2,fma")]
fn add_bf16(sums: &mut Tile, a: &Tile, b: &Tile) {
    let half = |word: &[u8], part: usize| {
        let value =
            f32::from_bits(u32::from(word[2 * part]) << 16 | u32::from(word[2 * part + 1]) << 24);
        if value.is_subnormal() { 0.0 } else { value }
    };
    for (sums, a) in sums.iter_mut().zip(a) {
        let mut parts = [[0.0f32; ROWS]; 2];
        for (a, b) in a.chunks_exact(4).zip(b) {
            for (part, parts) in parts.iter_mut().enumerate() {
                for (sum, b) in parts.iter_mut().zip(b.chunks_exact(4)) {
                    *sum = half(a, part).mul_add(half(b, part), *sum);
                }
            }
        }
        for (index, sum) in sums.chunks_exact_mut(4).enumerate() {
            let before = f32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]);
            let after = before + (parts[0][index] + parts[1][index]);
            sum.copy_from_slice(&after.to_le_bytes());
        }
    }
}

/// Bytes, read by `widen`, times signed bytes.
fn add_bytes(sums: &mut Tile, a: &Tile, b: &Tile, widen: impl Fn(u8) -> i32) {
    for (sums, a) in sums.iter_mut().zip(a) {
        for (a, b) in a.chunks_exact(4).zip(b) {
            for (sum, b) in sums.chunks_exact_mut(4).zip(b.chunks_exact(4)) {
                let products = a.iter().zip(b);
                let product: i32 = products.map(|(a, b)| widen(*a) * i32::from(*b as i8)).sum();
                let before = i32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]);
                sum.copy_from_slice(&before.wrapping_add(product).to_le_bytes());
            }
        }
    }
}
