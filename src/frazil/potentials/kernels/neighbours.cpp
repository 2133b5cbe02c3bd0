// Neighbour lists of one structure by cells: what neighbours.update makes of all pairs, number by number.
//
// Atoms are sorted into cubes (of a periodic cell: boxes) not smaller than the reach, so that neighbours lie
// in the 27 around an atom's own. Cubes are kept by a hash of their place: an atom that has flown far away
// costs nothing. A relation of two atoms is seen from both sides alike, so that going through the atoms in
// order and writing each into the lists of its neighbours gives ascending lists without a sort; and going
// through the lists again in order tells where each atom stands in its neighbour's list.
#include "kernel.h"

namespace {

enum Input {
    POSITIONS,  // (atoms, 3) float64, finite
    REACH,      // () float64: cutoff and skin
    CELL,  // (2, 3, 3) float64: the cell's vectors in rows, and the inverse; (0,) of what is not periodic
    ROOM   // (slots,): only its size is looked at
};
enum Result {
    INDEX,    // (atoms, slots) int32: neighbours, ascending; free slots: the number of atoms
    REVERSE,  // (atoms, slots) int32: the slot of the neighbour's list that holds this atom; free slots:
              // their own
    SHIFT,    // (atoms, slots, 3) float64: added to the neighbour's position, Å; (0,) of what is not periodic
    MOST,     // () int32: most neighbours of an atom; more than slots: the lists are cut and must not be used
    SCRATCH   // (bytes,) uint8
};

constexpr int64_t FARTHEST = 1 << 20;  // cubes from the first atom; what lies beyond is counted to the last

struct Place {
    int64_t x, y, z;
    bool operator==(const Place& other) const { return x == other.x && y == other.y && z == other.z; }
};

// To the nearest whole number, halves to the even one, as jax.numpy.round does.
INLINE double nearest(double x) { return (x + 6755399441055744.0) - 6755399441055744.0; }
INLINE int64_t below(double x) {
    const double whole = nearest(x);
    return (int64_t)(whole > x ? whole - 1 : whole);
}

struct Lists {
    int64_t atoms, slots, buckets;
    bool periodic;
    double reach, cell[3][3], inverse[3][3];
    int64_t boxes[3];

    Place* place;                // [atoms]
    int32_t *first, *order;      // [buckets + 1], [atoms]: atoms of a bucket
    double *x, *y, *z, *square;  // [atoms], in that order
    int32_t *own, *own_length;   // [atoms][slots + 1] neighbours in any order, and how many
    int32_t* length;             // [atoms]

    Lists(const Array* in, Scratch& s) {
        atoms = in[POSITIONS].dims[0], slots = in[ROOM].dims[0], periodic = in[CELL].rank == 3;
        for (buckets = 64; buckets < 2 * atoms;) buckets *= 2;
        place = s.take<Place>(atoms);
        first = s.take<int32_t>(buckets + 1);
        order = s.take<int32_t>(atoms);
        x = s.take<double>(atoms), y = s.take<double>(atoms), z = s.take<double>(atoms);
        square = s.take<double>(atoms);
        own = s.take<int32_t>(atoms * (slots + 1));
        own_length = s.take<int32_t>(atoms), length = s.take<int32_t>(atoms);
    }

    int64_t bucket(const Place& p) const {
        const uint64_t mixed = (uint64_t)p.x * 0x9E3779B97F4A7C15u ^ (uint64_t)p.y * 0xC2B2AE3D27D4EB4Fu ^
                               (uint64_t)p.z * 0x165667B19E3779F9u;
        return (int64_t)((mixed ^ mixed >> 29) & (uint64_t)(buckets - 1));
    }

    // The cube of a position.
    Place place_of(const double* position, const double* origin) const {
        int64_t at[3];
        for (int c = 0; c < 3; c++) {
            if (periodic) {
                double f = 0;
                for (int k = 0; k < 3; k++) f += position[k] * inverse[k][c];
                const double box = (f - nearest(f) + 0.5) * (double)boxes[c];
                at[c] = box >= (double)boxes[c] ? boxes[c] - 1 : box >= 0 ? (int64_t)box : 0;
            } else {
                const double from = (position[c] - origin[c]) / reach;
                at[c] = from > FARTHEST ? FARTHEST : from > -FARTHEST ? below(from) : -FARTHEST;
            }
        }
        return {at[0], at[1], at[2]};
    }

    // The lattice vector that brings a separation to its minimum image.
    void image(const double* apart, double* shift) const {
        double whole[3];
        for (int c = 0; c < 3; c++)
            whole[c] =
                -nearest(apart[0] * inverse[0][c] + apart[1] * inverse[1][c] + apart[2] * inverse[2][c]);
        for (int c = 0; c < 3; c++)
            shift[c] = whole[0] * cell[0][c] + whole[1] * cell[1][c] + whole[2] * cell[2][c];
    }

    // Buckets of the 27 cubes around one, each once.
    int64_t around(const Place& p, int64_t* found) const {
        int64_t n = 0;
        for (int64_t dx = -1; dx < 2; dx++)
            for (int64_t dy = -1; dy < 2; dy++)
                for (int64_t dz = -1; dz < 2; dz++) {
                    Place other = {p.x + dx, p.y + dy, p.z + dz};
                    if (periodic) {
                        other.x = (other.x + boxes[0]) % boxes[0];
                        other.y = (other.y + boxes[1]) % boxes[1];
                        other.z = (other.z + boxes[2]) % boxes[2];
                    }
                    const int64_t b = bucket(other);
                    int64_t i = 0;
                    while (i < n && found[i] != b) i++;
                    if (i == n && first[b] < first[b + 1]) found[n++] = b;
                }
        return n;
    }

    void sort(const double* positions) {
        memset(first, 0, (buckets + 1) * sizeof(int32_t));
        for (int64_t i = 0; i < atoms; i++) {
            place[i] = place_of(positions + 3 * i, positions);
            first[bucket(place[i]) + 1]++;
        }
        for (int64_t b = 0; b < buckets; b++) first[b + 1] += first[b];
        for (int64_t i = 0; i < atoms; i++) order[first[bucket(place[i])]++] = (int32_t)i;
        for (int64_t b = buckets; b > 0; b--) first[b] = first[b - 1];
        first[0] = 0;
        for (int64_t s = 0; s < atoms; s++) {
            const double* position = positions + 3 * order[s];
            x[s] = position[0], y[s] = position[1], z[s] = position[2];
        }
    }

    // Every atom's neighbours, in the order of buckets; more than there is room for are only counted.
    void search() {
        int64_t near[27], n_near = 0;
        Place last = {FARTHEST + 1, 0, 0};
        for (int64_t s = 0; s < atoms; s++) {
            const int64_t i = order[s];
            if (!(place[i] == last)) n_near = around(place[i], near), last = place[i];
            int32_t* list = own + i * (slots + 1);
            int64_t found = 0, written = 0;
            const double limit = reach * reach;
            for (int64_t b = 0; b < n_near; b++) {
                const int64_t start = first[near[b]], end = first[near[b] + 1];
                for (int64_t t = start; t < end && !periodic; t++) {
                    const double dx = x[t] - x[s], dy = y[t] - y[s], dz = z[t] - z[s];
                    square[t] = dx * dx + dy * dy + dz * dz;
                }
                for (int64_t t = start; t < end && periodic; t++) {
                    double d[3] = {x[t] - x[s], y[t] - y[s], z[t] - z[s]}, shift[3];
                    image(d, shift);
                    for (int c = 0; c < 3; c++) d[c] += shift[c];
                    square[t] = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                }
                for (int64_t t = start; t < end; t++) {
                    list[written] = order[t];
                    const bool is = square[t] < limit && t != s;
                    found += is;
                    written += is && written < slots;
                }
            }
            own_length[i] = (int32_t)written;
            length[i] = (int32_t)found;
        }
    }

    void write(const double* positions, const Array* out) {
        int32_t *index = (int32_t*)out[INDEX].data, *reverse = (int32_t*)out[REVERSE].data, most = 0;
        for (int64_t i = 0; i < atoms; i++) most = length[i] > most ? length[i] : most;
        *(int32_t*)out[MOST].data = most;
        memset(length, 0, atoms * sizeof(int32_t));
        for (int64_t i = 0; i < atoms; i++)
            for (int64_t k = 0; k < own_length[i]; k++) {
                const int64_t j = own[i * (slots + 1) + k];
                if (length[j] < slots) index[j * slots + length[j]++] = (int32_t)i;
            }
        memset(own_length, 0, atoms * sizeof(int32_t));
        for (int64_t i = 0; i < atoms; i++) {
            for (int64_t k = 0; k < length[i]; k++) {
                const int32_t seen = own_length[index[i * slots + k]]++;
                reverse[i * slots + k] = seen < slots ? seen : (int32_t)slots - 1;
            }
            for (int64_t k = length[i]; k < slots; k++) {
                index[i * slots + k] = (int32_t)atoms;
                reverse[i * slots + k] = (int32_t)k;
            }
        }
        for (int64_t i = 0; periodic && i < atoms; i++)
            for (int64_t k = 0; k < slots; k++) {
                double* shift = (double*)out[SHIFT].data + (i * slots + k) * 3;
                const int64_t j = index[i * slots + k];
                if (j == atoms) {
                    shift[0] = shift[1] = shift[2] = 0;
                    continue;
                }
                double apart[3];
                for (int c = 0; c < 3; c++) apart[c] = positions[3 * j + c] - positions[3 * i + c];
                image(apart, shift);
            }
    }
};

static void run(const Array* in, int64_t, const Array* out) {
    Scratch scratch = Scratch::in(out[SCRATCH]);
    Lists lists(in, scratch);
    lists.reach = *(const double*)in[REACH].data;
    if (lists.periodic) {
        memcpy(lists.cell, in[CELL].data, sizeof lists.cell);
        memcpy(lists.inverse, (const double*)in[CELL].data + 9, sizeof lists.inverse);
        for (int c = 0; c < 3; c++) {
            double square =
                0;  // the distance between two faces is 1 over the length of a column of the inverse
            for (int k = 0; k < 3; k++) square += lists.inverse[k][c] * lists.inverse[k][c];
            const int64_t boxes = below(1 / (__builtin_sqrt(square) * lists.reach) * (1 - 1e-9));
            lists.boxes[c] = boxes < 1 ? 1 : boxes > 1024 ? 1024 : boxes;
        }
    }
    const double* positions = (const double*)in[POSITIONS].data;
    lists.sort(positions);
    lists.search();
    lists.write(positions, out);
}

}  // namespace

// How many bytes of scratch a call with such inputs needs.
extern "C" int64_t frazil_neighbours_scratch(const Array* in, int64_t) {
    Scratch scratch = {nullptr};
    Lists lists(in, scratch);
    return scratch.bytes();
}

// The same as what XLA calls, for tests without it.
extern "C" void frazil_neighbours_run(const Array* in, int64_t n_inputs, const Array* out) {
    run(in, n_inputs, out);
}

extern "C" XLA_FFI_Error* frazil_neighbours(XLA_FFI_CallFrame* frame) {
    return called_by_xla(frame, frame->args.size == ROOM + 1 && frame->rets.size == SCRATCH + 1, run);
}
