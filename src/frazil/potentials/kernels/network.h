// Vectors of a processor's width, a lane for each atom, and the product of a layer's weights with them.
#pragma once
#include "kernel.h"

#if defined(__AVX512F__)
constexpr int VECTOR = 64;  // bytes
constexpr int ROWS = 8;     // rows of a tile of a matrix product: ROWS × BLOCKS sums fill the registers
#elif defined(__AVX__)
constexpr int VECTOR = 32;
constexpr int ROWS = 4;
#else
constexpr int VECTOR = 16;
constexpr int ROWS = 4;
#endif
constexpr int BLOCKS = 3;  // vectors of atoms that share the weights which were loaded
constexpr int PANEL = 8;   // rows of a panel of weights, whatever the vectors are

template <class T>
struct Wide {
    typedef T V __attribute__((vector_size(VECTOR)));
};

template <class T, class From>
INLINE T load(const From* from) {
    T value;
    memcpy(&value, from, sizeof value);
    return value;
}
template <class T, class To>
INLINE void store(To* to, T value) {
    memcpy(to, &value, sizeof value);
}

typedef double Quad64 __attribute__((vector_size(32)));  // x, y, z, 0 of an atom or a pair

// So many replicas run in one turn that their positions and forces stay in a core's own cache.
INLINE int64_t replicas_of_a_turn(int64_t replicas, int64_t atoms) {
    const int64_t at_once = 2048 / (atoms ? atoms : 1);
    return at_once < 1 ? 1 : at_once < replicas ? at_once : replicas;
}

INLINE bool all_finite(const double* x, int64_t n) {
    double nothing = 0;  // x − x: what is not finite gives nan
    for (int64_t i = 0; i < n; i++) nothing += x[i] - x[i];
    return nothing == 0;
}

// Call with(other, apart) for the neighbours in the first slots of an atom's list: the place of each in the
// turn, and the vector to it. index (replicas, atoms, slots) int32, shift (replicas, atoms, slots, 3) or (0,).
template <class With>
INLINE void each_neighbour(const Array& index, const Array& shift, const Quad64* position,
                           int64_t first_replica, int64_t place, int64_t length, With with) {
    const int64_t atoms = index.dims[1], slots = index.dims[2];
    const int64_t atom = first_replica * atoms + place, own_first = place - place % atoms;
    const int32_t* list = (const int32_t*)index.data + atom * slots;
    const double* shifts = shift.rank == 4 ? (const double*)shift.data + atom * slots * 3 : nullptr;
    const Quad64 here = position[place];
    for (int64_t k = 0; k < length; k++) {
        if (list[k] < 0 || list[k] >= atoms) continue;
        const int64_t other = own_first + list[k];
        Quad64 apart = position[other] - here;
        if (shifts) apart += Quad64{shifts[3 * k], shifts[3 * k + 1], shifts[3 * k + 2], 0};
        with(other, apart);
    }
}

// Forces are rounded to multiples of 2^-34 eV/Å (6e-11): sums of such numbers are exact up to 5e5 eV/Å.
INLINE Quad64 on_grid(Quad64 force) {
    const double coarse = 1.5 * (1 << 18);
    return (force + coarse) - coarse;
}

// y[row] = Σ_k w[row][k] x[k] of B blocks; x, y are [.][BLOCKS]. Sums go in the order of k whatever B is.
template <int B, class T, class V>
static void product(const T* w, int64_t n_in, int64_t n_out, const V* x, V* y) {
    for (int64_t row = 0; row < n_out; row += ROWS) {
        const T* own = w + row / PANEL * PANEL * n_in + row % PANEL;
        V sum[ROWS][B];
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 3
            for (int b = 0; b < B; b++) sum[i][b] = V{};
        for (int64_t k = 0; k < n_in; k++) {
            V own_x[B];
#pragma GCC unroll 3
            for (int b = 0; b < B; b++) own_x[b] = x[k * BLOCKS + b];
#pragma GCC unroll 8
            for (int i = 0; i < ROWS; i++) {
                const V weight = own[k * PANEL + i] - V{};
#pragma GCC unroll 3
                for (int b = 0; b < B; b++) sum[i][b] += weight * own_x[b];
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 3
            for (int b = 0; b < B; b++) y[(row + i) * BLOCKS + b] = sum[i][b];
    }
}
template <class T, class V>
static void product_of(int blocks, const T* w, int64_t n_in, int64_t n_out, const V* x, V* y) {
    if (blocks == 3) product<3>(w, n_in, n_out, x, y);
    if (blocks == 2) product<2>(w, n_in, n_out, x, y);
    if (blocks == 1) product<1>(w, n_in, n_out, x, y);
}

// How many blocks run next where so many are left: four are two times two.
INLINE int blocks_of(int64_t left) { return left == 4 ? 2 : left > BLOCKS ? BLOCKS : (int)left; }
