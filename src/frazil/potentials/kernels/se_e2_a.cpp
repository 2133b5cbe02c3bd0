// DeePMD-kit's se_e2_a on a CPU, from positions to forces in one pass; deepmd/kernel.py prepares its inputs.
//
// The potential (Zhang et al., NeurIPS 2018, arXiv:1805.09003; se_e2_a.py says the same in JAX). Of atom i of
// type c, over its neighbours j of types t at distance r < cutoff in the direction u, with the smooth
// s(r) = (u³(−6u² + 15u − 10) + 1)/r, u = (r − smooth)/(cutoff − smooth) between 0 and 1:
//
//     rows       w = ((s − mean_c)/dev_c, s u/dev'_c)                                             (measure)
//     embedding  G(s) of the pair's types, cubic polynomials between equal steps of s             (gather_up)
//     sums       A[x][m] = k_c (Σ_j w_x G_m(s) + Σ_t (sel_t − n_t) empty_t[x][m])                   (gather_up)
//     features   D[a][m] = Σ_x A[x][a] A[x][m], a < axis                                         (describe)
//     energy     last · network_c(D) + bias_c, layers of tanh that add what they got        (run_network)
//     forces     the same steps backwards                                               (pull_back, push)
//
// A place of DeePMD-kit's lists that is empty counts like a neighbour at the cutoff, hence `empty`. In the
// network a lane of a vector is an atom; blocks hold atoms of one type, and up to BLOCKS of them share the
// weights that were loaded. In the embedding a lane is an output, since neighbours differ. No atom looks at
// another's numbers, and a pair's force is rounded to a grid on which sums are exact: the bits of a replica do
// not depend on its batch. Positions, forces and energies are float64, all else is of type T.
#include "network.h"

namespace {

constexpr int LINE = 64;  // bytes of a row of embedding outputs that are summed at once
constexpr int MOST_LAYERS = 8;

template <class T>
struct Types;
template <>
struct Types<float> {
    typedef uint32_t Bits;
    static constexpr int MANTISSA = 23, BIAS = 127;
};
template <>
struct Types<double> {
    typedef uint64_t Bits;
    static constexpr int MANTISSA = 52, BIAS = 1023;
};

INLINE float root(float x) { return __builtin_sqrtf(x); }
INLINE double root(double x) { return __builtin_sqrt(x); }

// The sum of a vector, halves added to each other.
template <class T, class V>
INLINE T sum_of(V x) {
    if constexpr (sizeof(V) == sizeof(T)) return load<T>(&x);
    else {
        typedef T Half __attribute__((vector_size(sizeof(V) / 2)));
        return sum_of<T>(load<Half>(&x) + load<Half>((const char*)&x + sizeof(Half)));
    }
}

// A row of LINE bytes in the processor's own vectors: wider ones than it has, compilers carry through memory.
template <class T>
struct Line {
    static constexpr int PARTS = LINE / VECTOR;
    typename Wide<T>::V part[PARTS];

    // Part by part: a copy of the whole would go through memory, too.
    static Line at(const T* from) {
        return each([&](int i) { return load<typename Wide<T>::V>(from + i * (VECTOR / sizeof(T))); });
    }
    void put(T* to) const {
        for (int i = 0; i < PARTS; i++) store(to + i * (VECTOR / sizeof(T)), part[i]);
    }
    template <class Of>
    static Line each(Of of) {
        Line line;
#pragma GCC unroll 4
        for (int i = 0; i < PARTS; i++) line.part[i] = of(i);
        return line;
    }
    Line operator*(T b) const {
        return each([&](int i) { return part[i] * b; });
    }
    Line operator*(const Line& b) const {
        return each([&](int i) { return part[i] * b.part[i]; });
    }
    Line operator+(const Line& b) const {
        return each([&](int i) { return part[i] + b.part[i]; });
    }
    Line& operator+=(const Line& b) { return *this = *this + b; }

    T total() const {  // in one order whatever the vectors are
        typename Wide<T>::V sums[PARTS];
        memcpy(sums, part, sizeof part);
        for (int half = PARTS / 2; half; half /= 2)
            for (int i = 0; i < half; i++) sums[i] += sums[half + i];
        return sum_of<T>(sums[0]);
    }
};

// The inputs, in their order; T is float or double.
enum Input {
    POSITIONS,  // (replicas, atoms, 3) float64
    KINDS,      // (replicas, atoms) int32: types
    INDEX,      // (replicas, atoms, slots) int32: neighbours; free slots hold what is no atom's number
    SHIFT,      // (replicas, atoms, slots, 3) float64, added to the neighbour's position; or (0,)
    RADII,      // (4,) float64: cutoff, smooth, the nearest that the tables know (Å), their nodes in a unit of s
    NORMS,      // (types, 4) T: mean, 1/dev, 1/dev', k
    PLACES,     // (types,) T: sel
    EMPTY,      // (types, types, outputs) T: empty[0] of [centre][neighbour]; empty[1..3] are 0
    TABLES,     // (types or 1, types, nodes, 4, outputs of whole lines) T: powers of the fraction of a step
    LAST,       // (types, width) T
    ENDS,       // (types,) float64: bias_c, eV
    LAYERS      // of each layer, T: w (types, panels of outputs, inputs, PANEL), bias and step (types, 2,
                // outputs of whole panels), wᵀ (types, panels of inputs, outputs, PANEL)
};
enum Result {
    ENERGIES,  // (replicas,) float64, eV
    FORCES,    // (replicas, atoms, 3) float64, eV/Å
    SCRATCH    // (bytes,) uint8
};

template <class T>
struct Kernel {
    typedef typename Wide<T>::V V;
    typedef typename Types<T>::Bits Bits;
    static constexpr int W = VECTOR / sizeof(T), L = LINE / sizeof(T);
    typedef Bits U __attribute__((vector_size(VECTOR)));
    typedef Line<T> Row;
    typedef int32_t Index __attribute__((vector_size(4 * W)));

    // ---- Sizes and memory --------------------------------------------------------------------------------
    const Array* in;
    int64_t replicas, atoms, slots, types, outputs, columns, nodes, axis, layers, widths[MOST_LAYERS + 1], widest;
    int64_t replicas_at_once, places;  // replicas of one turn, and their atoms
    bool one_centre;                   // whether all types of centres share their embedding

    // What is known of the pairs of one atom within the cutoff: arrays of `room` numbers.
    struct Pairs {
        int64_t count;
        int32_t *other, *node;           // neighbour, row of the tables
        T *x, *y, *z, *inverse, *s, *slope, *fraction, *w0, *w1, *w2, *w3;  // u, 1/r, s, ds/dr, rows
    };
    Quad64* position;  // [places + 1] of the turn; the last is no atom
    Quad64* force;
    int32_t *kind, *order, *table_of;
    double* energy;
    bool* broken;  // [replicas of the turn]: not finite, or nearer than the tables know
    Pairs pairs[BLOCKS * W];
    T* sums;   // [BLOCKS · W][4][columns]: A
    T* pulled; // [4][columns]: dE/dA
    T* one;    // [axis][columns]: dE/dD of one atom
    V *features, *adjoint;  // [features][BLOCKS]
    V *value[MOST_LAYERS + 1], *steep[MOST_LAYERS + 1], *hidden[2];

    Kernel(const Array* given, int64_t n_inputs) : in(given) {
        replicas = in[INDEX].dims[0], atoms = in[INDEX].dims[1], slots = in[INDEX].dims[2];
        types = in[EMPTY].dims[0], outputs = in[EMPTY].dims[2];
        one_centre = in[TABLES].dims[0] == 1 && types > 1;
        nodes = in[TABLES].dims[2], columns = in[TABLES].dims[4];
        layers = (n_inputs - LAYERS) / 3;
        widths[0] = in[LAYERS].dims[2], axis = widths[0] / outputs, widest = 0;
        for (int64_t l = 0; l < layers; l++) {
            widths[l + 1] = in[LAYERS + 3 * l + 2].dims[2];
            widest = widths[l + 1] > widest ? widths[l + 1] : widest;
        }
        replicas_at_once = replicas_of_a_turn(replicas, atoms);
        places = replicas_at_once * atoms;
    }

    void take(Scratch& s) {
        position = s.take<Quad64>(places + 1);
        force = s.take<Quad64>(places + 1);
        kind = s.take<int32_t>(places + 1);
        order = s.take<int32_t>(places + types * BLOCKS * W);
        energy = s.take<double>(places + 1);
        broken = s.take<bool>(replicas_at_once);
        const int64_t room = whole(slots, L) + L;
        for (Pairs& p : pairs) {
            p.other = s.take<int32_t>(room), p.node = s.take<int32_t>(room);
            T** const all[] = {&p.x, &p.y, &p.z, &p.inverse, &p.s, &p.slope, &p.fraction, &p.w0, &p.w1, &p.w2, &p.w3};
            for (T** each : all) *each = s.take<T>(room);
        }
        sums = s.take<T>(BLOCKS * W * 4 * columns);
        pulled = s.take<T>(4 * columns);
        one = s.take<T>(axis * columns);
        features = s.take<V>(whole(widths[0], PANEL) * BLOCKS);
        adjoint = s.take<V>(whole(widths[0], PANEL) * BLOCKS);
        for (int64_t l = 1; l <= layers; l++) {
            value[l] = s.take<V>(whole(widths[l], PANEL) * BLOCKS);
            steep[l] = s.take<V>(whole(widths[l], PANEL) * BLOCKS);
        }
        for (V*& each : hidden) each = s.take<V>(whole(widest, PANEL) * BLOCKS);
    }

    template <class A>
    const A* given(Input which, int64_t type = 0) const {
        int64_t size = 1;
        for (int64_t i = 1; i < in[which].rank; i++) size *= in[which].dims[i];
        return (const A*)in[which].data + type * size;
    }
    const T* layer(int64_t l, int part, int64_t type) const { return given<T>(Input(LAYERS + 3 * l + part), type); }

    // ---- Pairs -------------------------------------------------------------------------------------------
    // Fill the lists of one atom of a type with what is within the cutoff; s and all that follows from r.
    void measure(Pairs& p, int64_t place, int64_t type, int64_t first_replica) {
        const double* radii = given<double>(RADII);
        const double limit = radii[0] * radii[0], nearest = radii[2] * radii[2];
        const int32_t tables = one_centre ? 0 : (int32_t)(type * types);
        int64_t found = 0;
        bool near = false;
        each_neighbour(in[INDEX], in[SHIFT], position, first_replica, place, slots,
                       [&](int64_t other, Quad64 apart) {
                           const Quad64 square = apart * apart;
                           const double squared = square[0] + square[1] + square[2];
                           p.x[found] = (T)apart[0], p.y[found] = (T)apart[1], p.z[found] = (T)apart[2];
                           p.other[found] = (int32_t)other;
                           p.node[found] = tables + kind[other];
                           near |= squared < nearest;
                           found += squared < limit;
                       });
        if (near) broken[place / atoms] = true;
        p.count = found;
        for (int64_t k = found; k < whole(found, L); k++) p.x[k] = 2 * radii[0], p.y[k] = p.z[k] = 0, p.node[k] = 0;
        const T *norm = given<T>(NORMS, type), mean = norm[0], scale = norm[1], across = norm[2];
        const T cutoff = radii[0], smooth = radii[1], range = 1 / (radii[0] - radii[1]), per_s = radii[3];
        for (int64_t k = 0; k < found; k += W) {
            V x = load<V>(p.x + k), y = load<V>(p.y + k), z = load<V>(p.z + k), r = x * x + y * y + z * z;
            T each[W];
            store(each, r);
            for (T& one : each) one = root(one);
            r = load<V>(each);
            const V inverse = (T)1 / r;
            V u = (r - smooth) * range;
            u = u > 0 ? u : V{};
            u = u < 1 ? u : V{} + 1;
            const V falling = u * u * u * ((u * (T)-6 + (T)15) * u - (T)10) + (T)1;
            const V falls = u * u * ((u * (T)-30 + (T)60) * u - (T)30) * range;
            const V inside = r < cutoff ? V{} + 1 : V{};
            const V s = falling * inverse * inside, slope = (falls - falling * inverse) * inverse * inside;
            x *= inverse, y *= inverse, z *= inverse;
            const V at = s * per_s, last = V{} + (T)(nodes - 2);
            const Index below = __builtin_convertvector(at < last ? at : last, Index);
            store(p.x + k, x), store(p.y + k, y), store(p.z + k, z);
            store(p.inverse + k, inverse), store(p.s + k, s), store(p.slope + k, slope);
            store(p.fraction + k, at - __builtin_convertvector(below, V));
            store(p.node + k, load<Index>(p.node + k) * (int32_t)nodes + below);
            store(p.w0 + k, (s - mean) * scale);
            const V part = s * across;
            store(p.w1 + k, part * x), store(p.w2 + k, part * y), store(p.w3 + k, part * z);
        }
    }

    // Add to a[x][m] of C lines of outputs: Σ_j w_x G_m.
    template <int C>
    void gather(const Pairs& p, int64_t first, T* a) const {
        const T* table = given<T>(TABLES) + first;
        Row sum[4][C];
        for (int x = 0; x < 4; x++)
            for (int i = 0; i < C; i++) sum[x][i] = Row::at(a + x * columns + first + i * L);
        for (int64_t k = 0; k < p.count; k++) {
            const T* c = table + (int64_t)p.node[k] * 4 * columns;
            const T f = p.fraction[k], w0 = p.w0[k], w1 = p.w1[k], w2 = p.w2[k], w3 = p.w3[k];
#pragma GCC unroll 4
            for (int i = 0; i < C; i++) {
                const T* own = c + i * L;
                const Row g = ((Row::at(own + 3 * columns) * f + Row::at(own + 2 * columns)) * f +
                               Row::at(own + columns)) * f + Row::at(own);
                sum[0][i] += g * w0, sum[1][i] += g * w1, sum[2][i] += g * w2, sum[3][i] += g * w3;
            }
        }
        for (int x = 0; x < 4; x++)
            for (int i = 0; i < C; i++) sum[x][i].put(a + x * columns + first + i * L);
    }

    // The sums of one atom of a type, a[4][columns].
    void gather_up(const Pairs& p, int64_t type, T* a) const {
        memset(a, 0, 4 * columns * sizeof(T));
        for (int64_t t = 0; t < types; t++) {
            const int64_t first = ((one_centre ? 0 : type * types) + t) * nodes;
            int64_t there = 0;
            for (int64_t k = 0; k < p.count; k++) there += p.node[k] >= first && p.node[k] < first + nodes;
            const T free = given<T>(PLACES)[t] - (T)there, *empty = given<T>(EMPTY, type) + t * outputs;
            for (int64_t m = 0; m < outputs; m++) a[m] += free * empty[m];
        }
#ifdef __AVX512F__
        constexpr int64_t MOST = 4;
#else
        constexpr int64_t MOST = 1;  // of 16 registers: sums of one line
#endif
        for (int64_t first = 0; first < columns; first += MOST * L) {
            const int64_t lines = (columns - first) / L;
            if (MOST == 1 || lines == 1) gather<1>(p, first, a);
            else if (lines == 2) gather<2>(p, first, a);
            else if (lines == 3) gather<3>(p, first, a);
            else gather<4>(p, first, a);
        }
        const T scale = given<T>(NORMS, type)[3];
        for (int64_t m = 0; m < 4 * columns; m++) a[m] *= scale;
    }

    // D[a][m] of one atom into its lane: features [axis · outputs][BLOCKS].
    void describe(const T* a, T* lane) const {
        T row[L];
        for (int64_t q = 0; q < axis; q++)
            for (int64_t first = 0; first < columns; first += L) {
                Row sum = Row::at(a + first) * a[q];
                for (int x = 1; x < 4; x++) sum += Row::at(a + x * columns + first) * a[x * columns + q];
                sum.put(row);
                const int64_t here = outputs - first < L ? outputs - first : L;
                for (int64_t m = 0; m < here; m++) lane[(q * outputs + first + m) * BLOCKS * W] = row[m];
            }
    }

    // dE/dA of one atom from dE/dD in its lane, times what A was multiplied by.
    void pull_back(const T* a, const T* lane, T scale) {
        for (int64_t q = 0; q < axis; q++) {
            for (int64_t m = 0; m < outputs; m++) one[q * columns + m] = lane[(q * outputs + m) * BLOCKS * W] * scale;
            for (int64_t m = outputs; m < columns; m++) one[q * columns + m] = 0;
        }
        for (int x = 0; x < 4; x++) {
            const T* own = a + x * columns;
            T* to = pulled + x * columns;
            for (int64_t first = 0; first < columns; first += L) {
                Row sum = Row{};
                for (int64_t q = 0; q < axis; q++) sum += Row::at(one + q * columns + first) * own[q];
                sum.put(to + first);
            }
            for (int64_t q = 0; q < axis; q++) {
                Row dot = Row{};
                for (int64_t first = 0; first < columns; first += L)
                    dot += Row::at(one + q * columns + first) * Row::at(own + first);
                to[q] += dot.total();
            }
        }
    }

    // The forces of one atom's pairs, from dE/dA.
    void push(const Pairs& p, int64_t place, int64_t type) {
        const T *norm = given<T>(NORMS, type), scale = norm[1], across = norm[2];
        const T per_s = given<double>(RADII)[3], *table = given<T>(TABLES);
        Quad64 own = {};
        for (int64_t k = 0; k < p.count; k++) {
            const T* c = table + (int64_t)p.node[k] * 4 * columns;
            const T f = p.fraction[k], w0 = p.w0[k], w1 = p.w1[k], w2 = p.w2[k], w3 = p.w3[k];
            Row q0 = Row{}, q1 = q0, q2 = q0, q3 = q0, turned = q0;
            for (int64_t first = 0; first < columns; first += L) {
                const T* at = c + first;
                const Row c1 = Row::at(at + columns), c2 = Row::at(at + 2 * columns),
                          c3 = Row::at(at + 3 * columns), t = c3 * f + c2, h = t * f + c1;
                const Row g = h * f + Row::at(at), slope = (c3 * f + t) * f + h;
                const Row b0 = Row::at(pulled + first), b1 = Row::at(pulled + columns + first),
                          b2 = Row::at(pulled + 2 * columns + first), b3 = Row::at(pulled + 3 * columns + first);
                q0 += b0 * g, q1 += b1 * g, q2 += b2 * g, q3 += b3 * g;
                turned += slope * (b0 * w0 + b1 * w1 + b2 * w2 + b3 * w3);
            }
            const T d0 = q0.total(), d1 = q1.total(), d2 = q2.total(), d3 = q3.total(), e = turned.total() * per_s;
            const T x = p.x[k], y = p.y[k], z = p.z[k], along = d1 * x + d2 * y + d3 * z;
            const T radial = (d0 * scale + along * across + e) * p.slope[k];
            const T tangential = p.s[k] * across * p.inverse[k];
            const Quad64 pair = on_grid(Quad64{(double)(radial * x + tangential * (d1 - along * x)),
                                               (double)(radial * y + tangential * (d2 - along * y)),
                                               (double)(radial * z + tangential * (d3 - along * z)), 0});
            own += pair;
            force[p.other[k]] -= pair;
        }
        force[place] += own;
    }

    // ---- Network -----------------------------------------------------------------------------------------
    // e^x for |x| ≤ 700 (float: 87): 2^n e^f, |f| ≤ ½ ln 2, with the polynomial's degree by T.
    static V exponential(V x) {
        constexpr int degree = sizeof(T) == 4 ? 7 : 13;
        const T magic = (T)1.5 * (T)((Bits)1 << Types<T>::MANTISSA);  // what is added to it is a whole number
        const V shifted = x * (T)1.4426950408889634 + magic, n = shifted - magic;
        const V f = (x - n * (T)0.693145751953125) - n * (T)1.42860682030941723212e-6;
        T inverse[degree + 1] = {1};
        for (int i = 1; i <= degree; i++) inverse[i] = inverse[i - 1] / i;
        V p = inverse[degree] - V{};
        for (int i = degree - 1; i >= 0; i--) p = p * f + inverse[i];
        return p * (V)(((U)shifted << Types<T>::MANTISSA) + ((Bits)Types<T>::BIAS << Types<T>::MANTISSA));
    }
    static V tanh(V x) {
        const V limit = (T)20 - V{}, size = x < 0 ? -x : x, e = exponential((size > limit ? limit : size) * 2);
        const V t = (T)1 - (T)2 / (e + (T)1);
        return x < 0 ? -t : t;
    }

    // Energies and dE/dD of blocks of atoms of one type.
    void run_network(int64_t type, int blocks, const int32_t* of) {
        const V* x = features;
        for (int64_t l = 0; l < layers; l++) {
            const int64_t width = whole(widths[l + 1], PANEL);
            const bool adds = l && widths[l + 1] == widths[l];
            const T *bias = layer(l, 1, type), *step = bias + width;
            V *y = value[l + 1], *slope = steep[l + 1];
            product_of(blocks, layer(l, 0, type), widths[l], width, x, y);
            for (int64_t i = 0; i < width; i++)
                for (int b = 0; b < blocks; b++) {
                    const V t = tanh(y[i * BLOCKS + b] + bias[i]);
                    slope[i * BLOCKS + b] = ((T)1 - t * t) * step[i];
                    y[i * BLOCKS + b] = t * step[i];
                    if (adds) y[i * BLOCKS + b] += x[i * BLOCKS + b];
                }
            x = y;
        }
        const T* last = given<T>(LAST, type);
        V* back = hidden[0];
        for (int b = 0; b < blocks; b++) {
            V sum = V{};
            for (int64_t i = 0; i < widths[layers]; i++) {
                sum += x[i * BLOCKS + b] * last[i];
                back[i * BLOCKS + b] = last[i] - V{};
            }
            for (int lane = 0; lane < W; lane++) energy[of[b * W + lane]] = sum[lane] + given<double>(ENDS)[type];
        }
        for (int64_t l = layers - 1; l >= 0; l--) {
            const bool adds = l && widths[l + 1] == widths[l];
            V *own = value[l + 1], *to = l ? hidden[(layers - l) % 2] : adjoint;
            for (int64_t i = 0; i < widths[l + 1]; i++)
                for (int b = 0; b < blocks; b++)
                    own[i * BLOCKS + b] = back[i * BLOCKS + b] * steep[l + 1][i * BLOCKS + b];
            product_of(blocks, layer(l, 2, type), widths[l + 1], whole(widths[l], PANEL), own, to);
            for (int64_t i = 0; adds && i < widths[l]; i++)
                for (int b = 0; b < blocks; b++) to[i * BLOCKS + b] += back[i * BLOCKS + b];
            back = to;
        }
    }

    // ---- All of it ---------------------------------------------------------------------------------------
    // Read a turn's replicas. Lanes get the atoms type by type, each type's blocks filled up with no atom.
    // Returns where each type's lanes begin.
    void read_turn(int64_t first_replica, int64_t n, int64_t* begin) {
        const double* x = given<double>(POSITIONS) + first_replica * atoms * 3;
        const int32_t* kinds = given<int32_t>(KINDS) + first_replica * atoms;
        for (int64_t replica = 0; replica < n; replica++)
            broken[replica] = !all_finite(x + replica * 3 * atoms, 3 * atoms);
        for (int64_t place = 0; place < n * atoms; place++) {
            position[place] = Quad64{x[3 * place], x[3 * place + 1], x[3 * place + 2], 0};
            kind[place] = kinds[place];
        }
        int64_t at = 0;
        for (int64_t type = 0; type < types; type++) {
            begin[type] = at;
            for (int64_t place = 0; place < n * atoms; place++)
                if (kind[place] == type && !broken[place / atoms]) order[at++] = (int32_t)place;
            while ((at - begin[type]) % W) order[at++] = (int32_t)places;
        }
        begin[types] = at;
    }

    void write_turn(const Array* out, int64_t first_replica, int64_t n) const {
        for (int64_t r = 0; r < n; r++) {
            double sum = 0;
            for (int64_t i = 0; i < atoms; i++) sum += energy[r * atoms + i];
            ((double*)out[ENERGIES].data)[first_replica + r] = broken[r] ? __builtin_nan("") : sum;
            for (int64_t i = 0; i < atoms; i++)
                for (int c = 0; c < 3; c++)
                    ((double*)out[FORCES].data)[((first_replica + r) * atoms + i) * 3 + c] =
                        broken[r] ? __builtin_nan("") : force[r * atoms + i][c];
        }
    }

    void run(const Array* out) {
        int64_t begin[33];
        for (int64_t first = 0; first < replicas; first += replicas_at_once) {
            const int64_t left = replicas - first, n = left < replicas_at_once ? left : replicas_at_once;
            read_turn(first, n, begin);
            memset(force, 0, (places + 1) * sizeof(Quad64));
            for (int64_t type = 0; type < types; type++) {
                const T scale = given<T>(NORMS, type)[3];
                for (int64_t lane = begin[type]; lane < begin[type + 1];) {
                    const int blocks = blocks_of((begin[type + 1] - lane) / W);
                    const int32_t* of = order + lane;
                    for (int i = 0; i < blocks * W; i++) {
                        T* x = (T*)features + i;
                        if (of[i] < places) {
                            measure(pairs[i], of[i], type, first);
                            gather_up(pairs[i], type, sums + i * 4 * columns);
                            describe(sums + i * 4 * columns, x);
                        } else
                            for (int64_t m = 0; m < widths[0]; m++) x[m * BLOCKS * W] = 0;
                    }
                    run_network(type, blocks, of);
                    for (int i = 0; i < blocks * W; i++) {
                        if (of[i] == places) continue;
                        pull_back(sums + i * 4 * columns, (const T*)adjoint + i, scale);
                        push(pairs[i], of[i], type);
                    }
                    lane += blocks * W;
                }
            }
            write_turn(out, first, n);
        }
    }

    static int64_t scratch(const Array* in, int64_t n_inputs) {
        Kernel kernel(in, n_inputs);
        Scratch scratch = {nullptr};
        kernel.take(scratch);
        return scratch.bytes();
    }
    static void call(const Array* in, int64_t n_inputs, const Array* out) {
        Kernel kernel(in, n_inputs);
        Scratch scratch = Scratch::in(out[SCRATCH]);
        kernel.take(scratch);
        kernel.run(out);
    }
    static XLA_FFI_Error* called(XLA_FFI_CallFrame* frame) {
        const int64_t layers = (frame->args.size - LAYERS) / 3;
        const bool expected = frame->args.size == LAYERS + 3 * layers && layers >= 1 && layers <= MOST_LAYERS &&
                              frame->rets.size == SCRATCH + 1;
        return called_by_xla(frame, expected, call);
    }
};

}  // namespace

// How many bytes of scratch a call with such inputs needs; the same as what XLA calls, for tests without it.
#define FOR(NAME, T)                                                                                  \
    extern "C" int64_t NAME##_scratch(const Array* in, int64_t n) { return Kernel<T>::scratch(in, n); } \
    extern "C" void NAME##_run(const Array* in, int64_t n, const Array* out) { Kernel<T>::call(in, n, out); } \
    extern "C" XLA_FFI_Error* NAME(XLA_FFI_CallFrame* frame) { return Kernel<T>::called(frame); }
FOR(frazil_se_e2_a_float32, float)
FOR(frazil_se_e2_a_float64, double)
