// GM-NN energies and forces on a CPU, from positions to forces in one pass; kernel.py prepares its inputs.
//
// The potential (Zaverkin & Kästner 2020; reference.py says the same in JAX). Of atom i, over its neighbours
// at distance r < cutoff in the direction u, with trainable radial functions R_ρ:
//
//     moments   M0 = Σ R_ρ(r), M1 = Σ R_ρ u_a, M2 = Σ R_ρ u_a u_b, M3 = Σ R_ρ u_a u_b u_c   (sum_moments)
//     features  contractions of one, two or three moments                                      (contract)
//     outputs   scale · network(factor · features + offset) + shift                             (product)
//     forces    −∂/∂x Σ_i share · energy_i, the same steps backwards           (contract_back, pull_back)
//
// A lane of a vector is an atom, W atoms are a block, and up to BLOCKS blocks share the weights of the
// network that were loaded. No lane ever looks at another. A pair's force is rounded to a grid on which sums
// are exact, so that their order does not matter and the total force is 0 to the last bit. Hence the bits of
// a replica do not depend on its batch, though lanes are sorted by their number of neighbours. Positions,
// their differences, forces and energies are float64, all else float32.
#include <utility>

#include "network.h"

namespace {

// ---- Vectors ---------------------------------------------------------------------------------------------
constexpr int W = VECTOR / 4;

typedef Wide<float>::V V;
typedef int32_t I __attribute__((vector_size(4 * W)));
typedef uint32_t U __attribute__((vector_size(4 * W)));
typedef float Row __attribute__((vector_size(32)));      // eight radial functions of one pair
typedef float Quad __attribute__((vector_size(16)));     // x, y, z, 0 of one pair

INLINE V splat(float x) { return x - V{}; }

template <int... K>
INLINE V pick(V a, V b, std::integer_sequence<int, K...>) {  // elements of (a, b)
#ifdef __clang__
    return __builtin_shufflevector(a, b, K...);
#else
    return __builtin_shuffle(a, b, I{K...});
#endif
}
typedef std::make_integer_sequence<int, W> Lanes;
template <int... K>
INLINE V even(V a, V b, std::integer_sequence<int, K...>) {
    return pick(a, b, std::integer_sequence<int, 2 * K...>());
}
template <int... K>
INLINE V odd(V a, V b, std::integer_sequence<int, K...>) {
    return pick(a, b, std::integer_sequence<int, 2 * K + 1 ...>());
}
template <int HALF, int... K>  // a_0 b_0 a_1 b_1 … of the lower or upper halves
INLINE V zip(V a, V b, std::integer_sequence<int, K...>) {
    return pick(a, b, std::integer_sequence<int, (K % 2 ? W : 0) + K / 2 + HALF*(W / 2)...>());
}
template <int STEP, int... K>
INLINE void exchange(V& a, V& b, std::integer_sequence<int, K...>) {
    const V upper = pick(a, b, std::integer_sequence<int, (K & STEP ? W + K - STEP : K)...>());
    b = pick(a, b, std::integer_sequence<int, (K & STEP ? W + K : K + STEP)...>());
    a = upper;
}
template <int STEP = 1>
INLINE void transpose(V (&m)[W]) {
#pragma GCC unroll 16
    for (int i = 0; i < W; i++)
        if (!(i & STEP)) exchange<STEP>(m[i], m[i + STEP], Lanes());
    if constexpr (2 * STEP < W) transpose<2 * STEP>(m);
}

INLINE V minimum(V a, V b) { return a < b ? a : b; }
INLINE V square_root(V x) {
#pragma GCC unroll 1
    for (int l = 0; l < W; l++) x[l] = __builtin_sqrtf(x[l]);
    return x;
}

// e^x for |x| ≤ 87 to 1e-7 of it: 2^n e^f, |f| ≤ ½ ln 2, with Cephes' polynomial.
INLINE V exponential(V x) {
    const float magic = 12582912.0f;  // 1.5 · 2^23: what is added to it is rounded to a whole number
    const V shifted = x * 1.44269504f + magic, n = shifted - magic;
    const V f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    V p = splat(1.9875691500e-4f);
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = (p * f) * f + f + 1.0f;
    return p * (V)(((U)shifted << 23) + (127u << 23));
}

// ---- What is given ---------------------------------------------------------------------------------------
constexpr int MOST_LAYERS = 12;
constexpr float SOFTENING = 1e-5f;  // of unit vectors, d/(r + this), Å: reference.UNIT_SOFTENING_A
constexpr double NEAREST = 0.02;    // repulsion is constant nearer than this, Å

// The inputs, in their order. Functions of r are cubic polynomials of the fraction of an equal interval, the
// lowest power first; the last node but one lies at the cutoff, and it and the last are 0.
enum Input {
    POSITIONS,  // (replicas, atoms, 3) float64
    SPECIES,    // (replicas, atoms) int32; negative: there is no such atom
    INDEX,      // (replicas, atoms, slots) int32: neighbours; free slots hold what is no atom's number
    SHIFT,      // (replicas, atoms, slots, 3) float64, added to the neighbour's position; or (0,)
    LENGTHS,    // (2,) float64: cutoff, and that of the repulsion (0: none)
    REPULSION,  // (species, species, nodes, 4) float64: ½ k Z Z' screening · cutoff
    RADIAL,     // (networks, species, species, nodes, 4, radial) float32 [centre, neighbour]: R_ρ as cubics
    FACTOR,     // (networks, species, features) float32
    OFFSET,     // (networks, species, features) float32
    SCALE,      // (networks, species, outputs) float64
    SHIFTS,     // (networks, species, outputs) float64
    SHARES,     // (networks, seeds, heads, replicas) float32: forces of a seed are those of Σ share · energy
    LAYERS      // of each layer, float32: w (networks, panels of outputs, inputs, PANEL), bias (networks,
                // outputs of whole panels), wᵀ (networks, panels of inputs, outputs, PANEL)
};
// The results.
enum Result {
    ENERGIES,  // (networks, heads, replicas) float64, eV
    OUTPUTS,   // (networks, outputs, replicas, atoms) float64: the heads' energies, eV, then their charges, e
    FORCES,    // (networks, seeds, replicas, atoms, 3) float64, eV/Å
    SCRATCH    // (bytes,) uint8
};

struct Sizes {
    int64_t replicas, atoms, slots, species, nodes, radial, features, outputs, networks, seeds, heads, layers;
    int64_t widths[MOST_LAYERS + 1];
    int64_t replicas_at_once, places;  // replicas of one turn, and their atoms

    Sizes(const Array* in, int64_t n_inputs) {
        replicas = in[INDEX].dims[0], atoms = in[INDEX].dims[1], slots = in[INDEX].dims[2];
        networks = in[RADIAL].dims[0], species = in[RADIAL].dims[1], nodes = in[RADIAL].dims[3];
        radial = in[RADIAL].dims[5], features = in[FACTOR].dims[2], outputs = in[SCALE].dims[2];
        seeds = in[SHARES].dims[1], heads = in[SHARES].dims[2];
        layers = (n_inputs - LAYERS) / 3;
        widths[0] = features;
        for (int64_t l = 0; l < layers; l++) widths[l + 1] = in[LAYERS + 3 * l + 2].dims[2];
        replicas_at_once = replicas_of_a_turn(replicas, atoms);
        places = replicas_at_once * atoms;
    }
    int64_t pairs() const { return radial * (radial + 1) / 2; }
    int64_t columns() const { return whole(radial, 8); }  // of a pair's row of radial functions
    int64_t pair_slots() const { return whole(slots, 4); }
    int64_t pair_size() const { return 5 + 2 * radial; }  // vectors of a slot: u, 1/(r + ε), 1 + ε/r, R, R'
};

struct Block {
    int64_t slots;   // most neighbours of a lane, whole fours
    int32_t* place;  // [W] atom of the turn; of an idle lane, where nobody looks
    I kind;          // its species
    int32_t* other;  // [slots][W] neighbours
    V* pair;         // [slots][pair_size]
    V* moments;      // [radial][20]
    V* second;       // [pairs of radial][3][6]: symmetric second-rank products of moments of rank 2, 1, 3
    V* third;        // [radial][radial][3]: M3_ρ : M2_σ
};

struct Work {
    Quad64* position;  // [places + 1] of the turn; the last is no atom
    Quad64* force;     // [seeds][places + 1]
    int32_t *kind, *order, *length, *first;
    uint8_t* silent;  // [species] whether outputs of such centres are 0
    double *repelled, *outputs;
    Block block[BLOCKS];
    Quad* apart;       // [slots][W] of one block: from centre to neighbour
    int32_t* pairing;  // [slots][W]: which table
    float* rows;       // [W][2 columns]: R, then R', of one slot
    V* features;       // [features][BLOCKS]
    V* adjoint;        // [features][BLOCKS]
    V* value[MOST_LAYERS + 1];
    V* slope[MOST_LAYERS + 1];
    V* moments_adjoint;  // [radial][20]
    V* third_adjoint;    // [radial][6][3]

    Work(const Sizes& n, Scratch& s) {
        position = s.take<Quad64>(n.places + 1);
        force = s.take<Quad64>(n.seeds * (n.places + 1));
        kind = s.take<int32_t>(n.places + 1);
        order = s.take<int32_t>(n.places + BLOCKS * W);
        length = s.take<int32_t>(n.places);
        first = s.take<int32_t>(n.slots + 2);
        silent = s.take<uint8_t>(n.species);
        repelled = s.take<double>(n.places);
        outputs = s.take<double>(n.outputs * n.places);
        for (Block& b : block) {
            b.place = s.take<int32_t>(W);
            b.other = s.take<int32_t>(n.pair_slots() * W);
            b.pair = s.take<V>(n.pair_slots() * n.pair_size());
            b.moments = s.take<V>(n.radial * 20);
            b.second = s.take<V>(n.pairs() * 18);
            b.third = s.take<V>(n.radial * n.radial * 3);
        }
        apart = s.take<Quad>(n.pair_slots() * W);
        pairing = s.take<int32_t>(n.pair_slots() * W);
        rows = s.take<float>(2 * n.columns() * W);
        features = s.take<V>(whole(n.features, PANEL) * BLOCKS);
        adjoint = s.take<V>(whole(n.features, PANEL) * BLOCKS);
        for (int64_t l = 1; l <= n.layers; l++) {
            value[l] = s.take<V>(whole(n.widths[l], PANEL) * BLOCKS);
            slope[l] = s.take<V>(whole(n.widths[l], PANEL) * BLOCKS);
        }
        moments_adjoint = s.take<V>(n.radial * 20);
        third_adjoint = s.take<V>(n.radial * 18);
    }
};

// ---- Pairs -----------------------------------------------------------------------------------------------
// Fill a block's lists with the pairs within the cutoff, a lane for each centre; beyond its last, a lane is
// told of a neighbour that is farther than the cutoff and whom nobody looks at.
static void collect(const Sizes& n, const Array* in, Work& work, Block& block, int64_t first_replica,
                    const int32_t* places) {
    const float reach = (float)*(const double*)in[LENGTHS].data, limit = reach * reach;
    int64_t count[W], longest = 0;
    for (int lane = 0; lane < W; lane++) {
        const int64_t place = places[lane];
        block.place[lane] = (int32_t)place;
        count[lane] = 0;
        if (place == n.places) {
            block.kind[lane] = 0;
            continue;
        }
        block.kind[lane] = work.kind[place];
        const int32_t tables = block.kind[lane] * (int32_t)n.species;
        int64_t found = 0;
        each_neighbour(in[INDEX], in[SHIFT], work.position, first_replica, place, work.length[place],
                       [&](int64_t other, Quad64 apart) {
                           const Quad d = __builtin_convertvector(apart, Quad), square = d * d;
                           work.apart[found * W + lane] = d;
                           work.pairing[found * W + lane] = tables + work.kind[other];
                           block.other[found * W + lane] = (int32_t)other;
                           found += square[0] + square[1] + square[2] < limit;
                       });
        count[lane] = found;
        longest = found > longest ? found : longest;
    }
    block.slots = whole(longest, 4);
    for (int lane = 0; lane < W; lane++)
        for (int64_t k = count[lane]; k < block.slots; k++) {
            work.apart[k * W + lane] = Quad{2 * reach, 0, 0, 0};
            work.pairing[k * W + lane] = 0;
            block.other[k * W + lane] = (int32_t)n.places;
        }
}

// u, 1/(r + ε), 1 + ε/r, R_ρ(r) and R_ρ'(r) of all pairs of a block.
static void measure(const Sizes& n, const Array* in, const float* table, Work& work, Block& block) {
    const int64_t R = n.radial, columns = n.columns(), last = n.nodes - 2;
    const float per_A = (float)(last / *(const double*)in[LENGTHS].data);
    alignas(64) int32_t node[W];
    alignas(64) float fraction[W];
    for (int64_t k = 0; k < block.slots; k++) {
        const V* quads = (const V*)(work.apart + k * W);
        const V xz0 = even(quads[0], quads[1], Lanes()), xz1 = even(quads[2], quads[3], Lanes());
        const V y0 = odd(quads[0], quads[1], Lanes()), y1 = odd(quads[2], quads[3], Lanes());
        const V x = even(xz0, xz1, Lanes()), y = even(y0, y1, Lanes()), z = odd(xz0, xz1, Lanes());
        const V r = square_root(x * x + y * y + z * z), inverse = 1.0f / (r + SOFTENING);
        const V softest = r > SOFTENING ? r : splat(SOFTENING);
        V* pair = block.pair + k * n.pair_size();
        pair[0] = x * inverse;
        pair[1] = y * inverse;
        pair[2] = z * inverse;
        pair[3] = inverse;
        pair[4] = 1.0f + SOFTENING / softest;
        const V at = minimum(r * per_A, splat((float)last));
        const I below = __builtin_convertvector(at, I);
        store(node, below);
        store(fraction, at - __builtin_convertvector(below, V));
        for (int lane = 0; lane < W; lane++) {
            const float* c = table + (work.pairing[k * W + lane] * n.nodes + node[lane]) * 4 * R;
            float* row = work.rows + lane * 2 * columns;
            const float f = fraction[lane];
            for (int64_t first = 0; first < columns; first += 8, c += 8, row += 8) {
                const Row c0 = load<Row>(c), c1 = load<Row>(c + R), c2 = load<Row>(c + 2 * R),
                          c3 = load<Row>(c + 3 * R);
                store(row, ((c3 * f + c2) * f + c1) * f + c0);
                store(row + columns, (c3 * (3 * f) + 2 * c2) * f + c1);
            }
        }
        V* radial = pair + 5;
        for (int64_t first = 0; first < 2 * columns; first += W) {
            V column[W];
#pragma GCC unroll 16
            for (int lane = 0; lane < W; lane++)
                column[lane] = load<V>(work.rows + lane * 2 * columns + first);
            transpose(column);
            for (int i = 0; i < W; i++) {
                const int64_t at = first + i;
                if (at < R) radial[at] = column[i];
                if (at >= columns && at < columns + R) radial[R + at - columns] = column[i] * per_A;
            }
        }
    }
}

// The unique products of u, in the order of contractions.COMPONENTS: 1, x, y, z, xx, xy, …, zzz.
INLINE void monomials(V x, V y, V z, V* Y) {
    Y[0] = splat(1);
    Y[1] = x, Y[2] = y, Y[3] = z;
    Y[4] = x * x, Y[5] = x * y, Y[6] = x * z, Y[7] = y * y, Y[8] = y * z, Y[9] = z * z;
    Y[10] = Y[4] * x, Y[11] = Y[4] * y, Y[12] = Y[4] * z, Y[13] = Y[5] * y, Y[14] = Y[5] * z,
    Y[15] = Y[6] * z;
    Y[16] = Y[7] * y, Y[17] = Y[7] * z, Y[18] = Y[8] * z, Y[19] = Y[9] * z;
}

// M[ρ][component] = Σ_pairs R_ρ Y[component], four pairs at a time.
static void sum_moments(const Sizes& n, Block& block) {
    memset(block.moments, 0, n.radial * 20 * sizeof(V));
    for (int64_t k = 0; k < block.slots; k += 4) {
        const V* pair[4];
        V Y[4][20];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            pair[i] = block.pair + (k + i) * n.pair_size();
            monomials(pair[i][0], pair[i][1], pair[i][2], Y[i]);
        }
        for (int64_t r = 0; r < n.radial; r++) {
            const V g0 = pair[0][5 + r], g1 = pair[1][5 + r], g2 = pair[2][5 + r], g3 = pair[3][5 + r];
            V* M = block.moments + r * 20;
#pragma GCC unroll 20
            for (int m = 0; m < 20; m++) {
                V sum = M[m];
                sum += g0 * Y[0][m];
                sum += g1 * Y[1][m];
                sum += g2 * Y[2][m];
                sum += g3 * Y[3][m];
                M[m] = sum;
            }
        }
    }
}

// Adjoint D of the moments to forces: of a pair, with H[m] = Σ_ρ D[ρ][m] R_ρ, the derivative of Σ_m H[m]
// Y[m](u) by u and, by R_ρ', by r. Then u = d/(r + ε).
static void pull_back(const Sizes& n, const Work& work, const Block& block, Quad64* force) {
    for (int64_t k = 0; k < block.slots; k++) {
        const V* pair = block.pair + k * n.pair_size();
        const V x = pair[0], y = pair[1], z = pair[2], inverse = pair[3];
        V Y[20], H[20], along = V{};
        monomials(x, y, z, Y);
#pragma GCC unroll 20
        for (int m = 0; m < 20; m++) H[m] = V{};
        for (int64_t r = 0; r < n.radial; r++) {
            const V *D = work.moments_adjoint + r * 20, g = pair[5 + r], slope = pair[5 + n.radial + r];
            V sums[4] = {};
#pragma GCC unroll 20
            for (int m = 0; m < 20; m++) {
                H[m] += D[m] * g;
                sums[m % 4] += D[m] * Y[m];
            }
            along += slope * ((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }
        const V by_x = H[1] + 2.0f * (H[4] * x) + H[5] * y + H[6] * z + 3.0f * (H[10] * Y[4]) +
                       2.0f * (H[11] * Y[5] + H[12] * Y[6]) + H[13] * Y[7] + H[14] * Y[8] + H[15] * Y[9];
        const V by_y = H[2] + H[5] * x + 2.0f * (H[7] * y) + H[8] * z + H[11] * Y[4] +
                       2.0f * (H[13] * Y[5] + H[17] * Y[8]) + H[14] * Y[6] + 3.0f * (H[16] * Y[7]) +
                       H[18] * Y[9];
        const V by_z = H[3] + H[6] * x + H[8] * y + 2.0f * (H[9] * z) + H[12] * Y[4] + H[14] * Y[5] +
                       2.0f * (H[15] * Y[6] + H[18] * Y[8]) + H[17] * Y[7] + 3.0f * (H[19] * Y[9]);
        const V radially = (along - inverse * (by_x * x + by_y * y + by_z * z)) * pair[4];
        const V fx = by_x * inverse + radially * x, fy = by_y * inverse + radially * y,
                fz = by_z * inverse + radially * z;
        const V lower_xz = zip<0>(fx, fz, Lanes()), upper_xz = zip<1>(fx, fz, Lanes());
        const V lower_y = zip<0>(fy, V{}, Lanes()), upper_y = zip<1>(fy, V{}, Lanes());
        alignas(64) Quad by[W];
        store(by, zip<0>(lower_xz, lower_y, Lanes()));
        store(by + W / 4, zip<1>(lower_xz, lower_y, Lanes()));
        store(by + W / 2, zip<0>(upper_xz, upper_y, Lanes()));
        store(by + 3 * W / 4, zip<1>(upper_xz, upper_y, Lanes()));
        for (int lane = 0; lane < W; lane++) {
            const Quad64 pull = on_grid(__builtin_convertvector(by[lane], Quad64));
            force[block.place[lane]] += pull;
            force[block.other[k * W + lane]] -= pull;
        }
    }
}

// The repulsion of Ziegler, Biersack & Littmark, ½ k Z Z'/r · screening · cutoff of each of the two pairs of
// a pair.
static void repel(const Sizes& n, const Array* in, Work& work, int64_t first_replica, const float* shares) {
    const double reach = ((const double*)in[LENGTHS].data)[1];
    const int64_t nodes = in[REPULSION].dims[2];
    for (int64_t place = 0; place < n.places; place++) {
        work.repelled[place] = 0;
        if (work.kind[place] < 0) continue;
        const int64_t replica = first_replica + place / n.atoms;
        each_neighbour(in[INDEX], in[SHIFT], work.position, first_replica, place, work.length[place],
                       [&](int64_t other, Quad64 d) {
            const Quad64 square = d * d;
            const double apart = __builtin_sqrt(square[0] + square[1] + square[2]);
            if (!(apart < reach)) return;
            const double r = apart > NEAREST ? apart : NEAREST, at = r * ((nodes - 2) / reach);
            const int64_t node = (int64_t)at;
            const double f = at - node;
            const double* c = (const double*)in[REPULSION].data +
                              ((work.kind[place] * n.species + work.kind[other]) * nodes + node) * 4;
            const double charge = ((c[3] * f + c[2]) * f + c[1]) * f + c[0];
            const double charge_slope = ((3 * c[3] * f + 2 * c[2]) * f + c[1]) * ((nodes - 2) / reach);
            work.repelled[place] += charge / r;
            const double slope = apart > NEAREST ? (charge_slope - charge / r) / r : 0;
            for (int64_t seed = 0; seed < n.seeds; seed++) {
                double share = 0;
                for (int64_t head = 0; head < n.heads; head++)
                    share += shares[(seed * n.heads + head) * n.replicas + replica];
                const Quad64 pull = on_grid(d * (share * slope / apart));
                work.force[seed * (n.places + 1) + place] += pull;
                work.force[seed * (n.places + 1) + other] -= pull;
            }
        });
    }
}

// ---- Contractions ----------------------------------------------------------------------------------------
constexpr int AT2[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};  // place of ij among xx xy xz yy yz zz
// Place of (ij)k among xxx … zzz.
constexpr int AT3[6][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}, {3, 6, 7}, {4, 7, 8}, {5, 8, 9}};
// How many elements of a tensor a unique one stands for, and the tensor's rank.
constexpr float TIMES[20] = {1, 1, 1, 1, 1, 2, 2, 1, 2, 1, 1, 3, 3, 3, 6, 3, 1, 3, 3, 1};
constexpr const float *TIMES2 = TIMES + 4, *TIMES3 = TIMES + 10;
constexpr int RANK[20] = {0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3};

INLINE V dot3(const V* a, const V* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
INLINE V dot6(const V* a, const V* b) {
    return (a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) + (a[3] * b[3] + a[4] * b[4] + a[5] * b[5]);
}

// Symmetric second-rank tensors of a pair ρ ≤ σ of radial functions, off-diagonal elements standing for both:
// q2_jk = Σ_i A_ij B_ik, q1_jk = a_j b_k, q3_kl = Σ_ij X_ijk Y_ijl, of the moments a, A, X and b, B, Y.
INLINE void products(const V* M, const V* N, V* q) {
    const V *a = M + 1, *A = M + 4, *X = M + 10, *b = N + 1, *B = N + 4, *Y = N + 10;
#pragma GCC unroll 3
    for (int j = 0; j < 3; j++)
#pragma GCC unroll 3
        for (int k = j; k < 3; k++) {
            V q2 = V{}, q3 = V{}, q1 = a[j] * b[k];
            if (k != j) q1 += a[k] * b[j];
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++) {
                q2 += A[AT2[i][j]] * B[AT2[i][k]];
                if (k != j) q2 += A[AT2[i][k]] * B[AT2[i][j]];
            }
#pragma GCC unroll 6
            for (int c = 0; c < 6; c++) {
                V once = X[AT3[c][j]] * Y[AT3[c][k]];
                if (k != j) once += X[AT3[c][k]] * Y[AT3[c][j]];
                q3 += TIMES2[c] * once;
            }
            q[AT2[j][k]] = q2;
            q[6 + AT2[j][k]] = q1;
            q[12 + AT2[j][k]] = q3;
        }
}

// Their adjoint: from that of q to those of M and N (a sum of both where they are the same).
INLINE void products_back(const V* M, const V* N, const V* by, V* dM, V* dN, V* third_M, V* third_N) {
    const V *a = M + 1, *A = M + 4, *X = M + 10, *b = N + 1, *B = N + 4, *Y = N + 10;
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++)
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++) {
            V toA = V{}, toB = V{};
            dM[1 + i] += by[6 + AT2[i][j]] * b[j];
            dN[1 + i] += by[6 + AT2[i][j]] * a[j];
#pragma GCC unroll 3
            for (int k = 0; k < 3; k++) {
                toA += by[AT2[j][k]] * B[AT2[i][k]];
                toB += by[AT2[j][k]] * A[AT2[i][k]];
            }
            dM[4 + AT2[i][j]] += toA;
            dN[4 + AT2[i][j]] += toB;
        }
#pragma GCC unroll 6
    for (int c = 0; c < 6; c++)
#pragma GCC unroll 3
        for (int k = 0; k < 3; k++) {
            V toX = V{}, toY = V{};
#pragma GCC unroll 3
            for (int l = 0; l < 3; l++) {
                toX += by[12 + AT2[k][l]] * Y[AT3[c][l]];
                toY += by[12 + AT2[k][l]] * X[AT3[c][l]];
            }
            third_M[3 * c + k] += toX;
            third_N[3 * c + k] += toY;
        }
}

// Features, in the order of contractions.contract: M0_ρ; M1_ρ·M1_σ, M2_ρ:M2_σ, M3_ρ⋮M3_σ (ρ ≤ σ); tr M2_ρ
// M2_σ M2_τ (ρ ≤ σ ≤ τ); M1_ρ M2_τ M1_σ and (M3_ρ:M3_σ):M2_τ (ρ ≤ σ, all τ); (M3_ρ:M2_σ)·M1_τ (all).
static void contract(const Sizes& n, const Block& block, V* features) {
    const int64_t R = n.radial, pairs = n.pairs();
    V* out = features;
    auto put = [&](V value) { *out = value, out += BLOCKS; };
    for (int64_t r = 0; r < R; r++) put(block.moments[r * 20]);
    for (int rank = 1; rank < 4; rank++)
        for (int64_t r = 0; r < R; r++)
            for (int64_t s = r; s < R; s++) {
                const V *M = block.moments + r * 20, *N = block.moments + s * 20;
                V sum = V{};
                if (rank == 1) sum = dot3(M + 1, N + 1);
                if (rank == 2)
                    for (int c = 0; c < 6; c++) sum += TIMES2[c] * (M[4 + c] * N[4 + c]);
                if (rank == 3)
                    for (int c = 0; c < 10; c++) sum += TIMES3[c] * (M[10 + c] * N[10 + c]);
                put(sum);
            }
    V* q = block.second;
    for (int64_t r = 0; r < R; r++)
        for (int64_t s = r; s < R; s++, q += 18) {
            products(block.moments + r * 20, block.moments + s * 20, q);
            for (int64_t t = s; t < R; t++) put(dot6(q, block.moments + t * 20 + 4));
        }
    for (int which = 1; which < 3; which++)
        for (int64_t p = 0; p < pairs; p++)
            for (int64_t t = 0; t < R; t++)
                put(dot6(block.second + p * 18 + 6 * which, block.moments + t * 20 + 4));
    V* v = block.third;
    for (int64_t r = 0; r < R; r++)
        for (int64_t s = 0; s < R; s++, v += 3) {
            const V *X = block.moments + r * 20 + 10, *B = block.moments + s * 20 + 4;
#pragma GCC unroll 3
            for (int k = 0; k < 3; k++) {
                V sum = V{};
#pragma GCC unroll 6
                for (int c = 0; c < 6; c++) sum += TIMES2[c] * (X[AT3[c][k]] * B[c]);
                v[k] = sum;
            }
            for (int64_t t = 0; t < R; t++) put(dot3(v, block.moments + t * 20 + 1));
        }
}

// From the adjoint of the features to that of the moments, in work.moments_adjoint.
static void contract_back(const Sizes& n, const Block& block, const V* adjoint, Work& work) {
    const int64_t R = n.radial, pairs = n.pairs();
    V *D = work.moments_adjoint, *third = work.third_adjoint;
    memset(D, 0, R * 20 * sizeof(V));
    memset(third, 0, R * 18 * sizeof(V));
    auto of = [&](int64_t feature) { return adjoint[feature * BLOCKS]; };
    for (int64_t r = 0; r < R; r++) D[r * 20] = of(r);
    const int64_t with_m2 = R + 3 * pairs, with_q1 = with_m2 + R * (R + 1) * (R + 2) / 6,
                  with_q3 = with_q1 + pairs * R;
    const int64_t with_v = with_q3 + pairs * R;
    int64_t p = 0, triple = with_m2;
    for (int64_t r = 0; r < R; r++)
        for (int64_t s = r; s < R; s++, p++) {
            const V *M = block.moments + r * 20, *N = block.moments + s * 20, *q = block.second + p * 18;
            V *dM = D + r * 20, *dN = D + s * 20, by[18];
            const V along[4] = {V{}, of(R + p), of(R + pairs + p), of(R + 2 * pairs + p)};
#pragma GCC unroll 19
            for (int m = 1; m < 20; m++) {
                const V both = along[RANK[m]] * TIMES[m];
                dM[m] += both * N[m];
                dN[m] += both * M[m];
            }
#pragma GCC unroll 18
            for (int c = 0; c < 18; c++) by[c] = V{};
            for (int64_t t = 0; t < R; t++) {
                const V *C = block.moments + t * 20 + 4, of2 = t < s ? V{} : of(triple + t - s);
                const V of1 = of(with_q1 + p * R + t), of3 = of(with_q3 + p * R + t);
                V* dC = D + t * 20 + 4;
#pragma GCC unroll 6
                for (int c = 0; c < 6; c++) {
                    by[c] += of2 * C[c];
                    by[6 + c] += of1 * C[c];
                    by[12 + c] += of3 * C[c];
                    dC[c] += (of2 * q[c] + of1 * q[6 + c]) + of3 * q[12 + c];
                }
            }
            triple += R - s;
            products_back(M, N, by, dM, dN, third + r * 18, third + s * 18);
        }
    for (int64_t r = 0; r < R; r++)
        for (int64_t s = 0; s < R; s++) {
            const V *X = block.moments + r * 20 + 10, *B = block.moments + s * 20 + 4,
                    *v = block.third + (r * R + s) * 3;
            V by[3] = {V{}, V{}, V{}}, *dX = third + r * 18, *dB = D + s * 20 + 4;
            for (int64_t t = 0; t < R; t++) {
                const V of7 = of(with_v + (r * R + s) * R + t), *c = block.moments + t * 20 + 1;
                V* dc = D + t * 20 + 1;
#pragma GCC unroll 3
                for (int k = 0; k < 3; k++) {
                    by[k] += of7 * c[k];
                    dc[k] += of7 * v[k];
                }
            }
#pragma GCC unroll 6
            for (int c = 0; c < 6; c++) {
                V sum = V{};
#pragma GCC unroll 3
                for (int k = 0; k < 3; k++) {
                    dX[3 * c + k] += by[k] * B[c];
                    sum += by[k] * X[AT3[c][k]];
                }
                dB[c] += TIMES2[c] * sum;
            }
        }
    for (int64_t r = 0; r < R; r++)
        for (int c = 0; c < 6; c++)
            for (int k = 0; k < 3; k++) D[r * 20 + 10 + AT3[c][k]] += TIMES2[c] * third[r * 18 + 3 * c + k];
}

// ---- Network ---------------------------------------------------------------------------------------------
// swish(z) = z σ(z) and its slope σ (1 + z (1 − σ)), in place.
static void activate(int64_t width, int blocks, const float* bias, V* value, V* slope) {
    for (int64_t i = 0; i < width; i++)
        for (int b = 0; b < blocks; b++) {
            const V z = value[i * BLOCKS + b] + bias[i], limit = splat(87);
            const V sigma = 1.0f / (1.0f + exponential(z < -limit ? limit : z > limit ? -limit : -z));
            value[i * BLOCKS + b] = z * sigma;
            slope[i * BLOCKS + b] = sigma * (1.0f + z * (1.0f - sigma));
        }
}

INLINE V of_kind(const float* table, int64_t stride, int64_t species, I kind) {
    V value = splat(table[0]);
    for (int s = 1; s < species; s++) value = kind == s ? splat(table[s * stride]) : value;
    return value;
}

// ---- All of it -------------------------------------------------------------------------------------------
template <class T>
const T* of_network(const Array& array, int64_t network) {
    int64_t size = 1;
    for (int64_t i = 1; i < array.rank; i++) size *= array.dims[i];
    return (const T*)array.data + network * size;
}

// Outputs and forces of up to BLOCKS blocks of atoms by one network.
static void run_blocks(const Sizes& n, const Array* in, int64_t network, Work& work, int blocks,
                       int64_t first_replica, const int32_t* places) {
    const float* table = of_network<float>(in[RADIAL], network);
    const float *factor = of_network<float>(in[FACTOR], network),
                *offset = of_network<float>(in[OFFSET], network);
    const double *scale = of_network<double>(in[SCALE], network),
                 *shift = of_network<double>(in[SHIFTS], network);
    const float* shares = of_network<float>(in[SHARES], network);
    for (int b = 0; b < blocks; b++) {
        Block& block = work.block[b];
        collect(n, in, work, block, first_replica, places + b * W);
        measure(n, in, table, work, block);
        sum_moments(n, block);
        contract(n, block, work.features + b);
        for (int64_t i = 0; i < n.features; i++) {
            V& feature = work.features[i * BLOCKS + b];
            feature = feature * of_kind(factor + i, n.features, n.species, block.kind) +
                      of_kind(offset + i, n.features, n.species, block.kind);
        }
    }
    const V* x = work.features;
    for (int64_t l = 0; l < n.layers; l++) {
        const float *w = of_network<float>(in[LAYERS + 3 * l], network),
                    *bias = of_network<float>(in[LAYERS + 3 * l + 1], network);
        const int64_t width = whole(n.widths[l + 1], PANEL);
        product_of(blocks, w, n.widths[l], width, x, work.value[l + 1]);
        if (l + 1 < n.layers) activate(width, blocks, bias, work.value[l + 1], work.slope[l + 1]);
        x = work.value[l + 1];
    }
    const float* last_bias = of_network<float>(in[LAYERS + 3 * n.layers - 2], network);
    for (int b = 0; b < blocks; b++)
        for (int lane = 0; lane < W; lane++) {
            const int64_t place = work.block[b].place[lane];
            if (place == n.places) continue;
            for (int64_t o = 0; o < n.outputs; o++) {
                const int64_t own = work.block[b].kind[lane] * n.outputs + o;
                const float plain = x[o * BLOCKS + b][lane] + last_bias[o];
                work.outputs[o * n.places + place] = scale[own] * plain + shift[own];
            }
        }
    for (int64_t seed = 0; seed < n.seeds; seed++) {
        V* adjoint = work.value[n.layers];
        for (int64_t o = 0; o < n.outputs; o++)
            for (int b = 0; b < blocks; b++)
                for (int lane = 0; lane < W; lane++) {
                    const int64_t place = work.block[b].place[lane];
                    const bool counts = o < n.heads && place < n.places;
                    const int64_t replica = first_replica + place / n.atoms;
                    adjoint[o * BLOCKS + b][lane] =
                        counts ? (float)(scale[work.block[b].kind[lane] * n.outputs + o] *
                                         shares[(seed * n.heads + o) * n.replicas + replica])
                               : 0.0f;
                }
        for (int64_t l = n.layers - 1; l >= 0; l--) {
            V* to = l ? work.value[l] : work.adjoint;
            product_of(blocks, of_network<float>(in[LAYERS + 3 * l + 2], network), n.widths[l + 1],
                       whole(n.widths[l], PANEL), adjoint, to);
            for (int64_t i = 0; l && i < n.widths[l]; i++)
                for (int b = 0; b < blocks; b++) to[i * BLOCKS + b] *= work.slope[l][i * BLOCKS + b];
            adjoint = to;
        }
        for (int b = 0; b < blocks; b++) {
            Block& block = work.block[b];
            for (int64_t i = 0; i < n.features; i++)
                work.adjoint[i * BLOCKS + b] *= of_kind(factor + i, n.features, n.species, block.kind);
            contract_back(n, block, work.adjoint + b, work);
            pull_back(n, work, block, work.force + seed * (n.places + 1));
        }
    }
}

// Find the elements whose outputs are 0 in every network: their atoms need no lanes.
static void find_silent(const Sizes& n, const Array* in, Work& work) {
    for (int64_t kind = 0; kind < n.species; kind++) {
        work.silent[kind] = 1;
        for (int64_t network = 0; network < n.networks; network++)
            for (int64_t o = 0; o < n.outputs; o++) {
                const int64_t own = kind * n.outputs + o;
                work.silent[kind] &= of_network<double>(in[SCALE], network)[own] == 0 &&
                                     of_network<double>(in[SHIFTS], network)[own] == 0;
            }
    }
}

// Read a turn's replicas: positions, species, how long the lists are. A replica that is not finite gets no
// lanes, and nan for results. Lanes get their atoms in the order of how many neighbours these have. Returns
// how many lanes.
static int64_t read_turn(const Sizes& n, const Array* in, Work& work, int64_t first_replica,
                         int64_t replicas) {
    const double* x = (const double*)in[POSITIONS].data + first_replica * n.atoms * 3;
    const int32_t *kind = (const int32_t*)in[SPECIES].data + first_replica * n.atoms,
                  *list = (const int32_t*)in[INDEX].data + first_replica * n.atoms * n.slots;
    memset(work.first, 0, (n.slots + 2) * sizeof(int32_t));
    for (int64_t place = 0; place < n.places; place++) work.kind[place] = -1;
    for (int64_t replica = 0; replica < replicas; replica++) {
        const bool finite = all_finite(x + replica * 3 * n.atoms, 3 * n.atoms);
        for (int64_t place = replica * n.atoms; place < (replica + 1) * n.atoms; place++) {
            work.position[place] = Quad64{x[3 * place], x[3 * place + 1], x[3 * place + 2], 0};
            if (!finite || kind[place] < 0 || kind[place] >= n.species) continue;
            work.kind[place] = kind[place];
            const int32_t* own = list + place * n.slots;
            int64_t length = n.slots;
            while (length > 0 && (own[length - 1] < 0 || own[length - 1] >= n.atoms)) length--;
            work.length[place] = (int32_t)length;
            if (!work.silent[kind[place]]) work.first[n.slots - length + 1]++;
            for (int64_t o = 0; o < n.outputs; o++) work.outputs[o * n.places + place] = 0;
        }
    }
    for (int64_t k = 0; k <= n.slots; k++) work.first[k + 1] += work.first[k];
    const int64_t lanes = work.first[n.slots + 1];
    for (int64_t place = 0; place < n.places; place++)
        if (work.kind[place] >= 0 && !work.silent[work.kind[place]])
            work.order[work.first[n.slots - work.length[place]]++] = (int32_t)place;
    for (int64_t lane = lanes; lane < lanes + BLOCKS * W; lane++) work.order[lane] = (int32_t)n.places;
    return lanes;
}

// Write a network's results for the replicas of a turn.
static void write_turn(const Sizes& n, const Array* in, const Array* out, int64_t network, const Work& work,
                       int64_t first_replica, int64_t replicas) {
    double *energies = (double*)out[ENERGIES].data + network * n.heads * n.replicas,
           *outputs = (double*)out[OUTPUTS].data + network * n.outputs * n.replicas * n.atoms,
           *forces = (double*)out[FORCES].data + network * n.seeds * n.replicas * n.atoms * 3;
    const int32_t* kind = (const int32_t*)in[SPECIES].data;
    // Of an atom without a lane: there is none, or its replica is not finite.
    auto nothing_of = [&](int64_t replica, int64_t i) {
        return kind[replica * n.atoms + i] < 0 ? 0 : __builtin_nan("");
    };
    for (int64_t r = 0; r < replicas; r++) {
        const int64_t replica = first_replica + r, start = r * n.atoms;
        for (int64_t o = 0; o < n.outputs; o++) {
            double sum = 0;
            for (int64_t i = 0; i < n.atoms; i++) {
                double value = nothing_of(replica, i);
                if (work.kind[start + i] >= 0) {
                    value = work.outputs[o * n.places + start + i];
                    if (o < n.heads) value += work.repelled[start + i];
                }
                outputs[(o * n.replicas + replica) * n.atoms + i] = value;
                sum += value;
            }
            if (o < n.heads) energies[o * n.replicas + replica] = sum;
        }
        for (int64_t seed = 0; seed < n.seeds; seed++)
            for (int64_t i = 0; i < n.atoms; i++) {
                const bool counted = work.kind[start + i] >= 0;
                const Quad64 force = work.force[seed * (n.places + 1) + start + i];
                double* own = forces + ((seed * n.replicas + replica) * n.atoms + i) * 3;
                for (int c = 0; c < 3; c++) own[c] = counted ? force[c] : nothing_of(replica, i);
            }
    }
}

static void run(const Array* in, int64_t n_inputs, const Array* out) {
    const Sizes n(in, n_inputs);
    Scratch scratch = Scratch::in(out[SCRATCH]);
    Work work(n, scratch);
    const bool repels = ((const double*)in[LENGTHS].data)[1] > 0;
    find_silent(n, in, work);
    for (int64_t first_replica = 0; first_replica < n.replicas; first_replica += n.replicas_at_once) {
        const int64_t left = n.replicas - first_replica,
                      replicas = left < n.replicas_at_once ? left : n.replicas_at_once;
        const int64_t lanes = read_turn(n, in, work, first_replica, replicas);
        memset(work.repelled, 0, n.places * sizeof(double));
        for (int64_t network = 0; network < n.networks; network++) {
            memset(work.force, 0, n.seeds * (n.places + 1) * sizeof(Quad64));
            for (int64_t lane = 0; lane < lanes;) {
                const int blocks = blocks_of((lanes - lane + W - 1) / W);
                run_blocks(n, in, network, work, blocks, first_replica, work.order + lane);
                lane += blocks * W;
            }
            if (repels) repel(n, in, work, first_replica, of_network<float>(in[SHARES], network));
            write_turn(n, in, out, network, work, first_replica, replicas);
        }
    }
}

}  // namespace

// How many bytes of scratch a call with such inputs needs.
extern "C" int64_t frazil_gmnn_scratch(const Array* in, int64_t n_inputs) {
    const Sizes n(in, n_inputs);
    Scratch scratch = {nullptr};
    Work work(n, scratch);
    return scratch.bytes();
}

// The same as what XLA calls, for tests without it.
extern "C" void frazil_gmnn_run(const Array* in, int64_t n_inputs, const Array* out) {
    run(in, n_inputs, out);
}

extern "C" XLA_FFI_Error* frazil_gmnn(XLA_FFI_CallFrame* frame) {
    const int64_t layers = (frame->args.size - LAYERS) / 3;
    const bool expected = frame->args.size == LAYERS + 3 * layers && layers >= 1 && layers <= MOST_LAYERS &&
                          frame->rets.size == SCRATCH + 1;
    return called_by_xla(frame, expected, run);
}
