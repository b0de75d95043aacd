package modalfake

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/modalfake/content"
	"github.com/mtt-project/mtt/host/internal/modalfake/faults"
	"github.com/mtt-project/mtt/host/internal/modalfake/volume"
)

// maxUpload bounds what one PUT may bring: a file of a version 1 volume comes whole.
const maxUpload = 2 << 30

// blockURL is an address that is good for one thing and for a while: whoever has it needs no token, as with the real
// ones, which are those of an object store.
func (s *Server) blockURL(method string, sum content.Sum, query url.Values) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	query.Set("expires", strconv.FormatInt(time.Now().Add(s.dice.Now().BlockURLLife).UnixMilli(), 10))
	query.Set("signature", s.auth.sign(blockText(method, sum, query)))
	return "http://" + s.webAddr + "/block/" + string(sum) + "?" + query.Encode()
}

func blockText(method string, sum content.Sum, query url.Values) string {
	return strings.Join([]string{method, string(sum), query.Get("start"), query.Get("end"), query.Get("padded"), query.Get("expires")}, " ")
}

// getURL is the address of a piece of a block, with the zero bytes at its end if it is to be padded.
func (s *Server) getURL(p volume.Piece, padded bool) string {
	query := url.Values{"start": {strconv.FormatUint(p.Start, 10)}, "end": {strconv.FormatUint(p.End, 10)}}
	if padded {
		query.Set("padded", "1")
	}
	return s.blockURL(http.MethodGet, p.Sum, query)
}

// blobURL is the address of a whole content, with the zero bytes at its end.
func (s *Server) blobURL(sum content.Sum) string {
	return s.blockURL(http.MethodGet, sum, url.Values{})
}

func (s *Server) putURL(sum content.Sum) string { return s.blockURL(http.MethodPut, sum, url.Values{}) }

// putBlobURL is the address that a file of a version 1 volume is uploaded to. Its answer has an MD5, as a blob's has.
func (s *Server) putBlobURL(sum content.Sum) string {
	return s.putURL(sum) + "&md5=1"
}

// refuseBlock says why an address is not good now; "" if it is.
func (s *Server) refuseBlock(r *http.Request, sum content.Sum) string {
	query := r.URL.Query()
	s.mu.Lock()
	signed := s.auth.signed(blockText(r.Method, sum, query), query.Get("signature"))
	s.mu.Unlock()
	if !signed {
		return "SignatureDoesNotMatch"
	}
	expires, err := strconv.ParseInt(query.Get("expires"), 10, 64)
	if err != nil || time.Now().UnixMilli() >= expires || s.dice.ExpireBlock() {
		return "Request has expired"
	}
	return ""
}

// serveBlock transfers a block.
func (s *Server) serveBlock(w http.ResponseWriter, r *http.Request) {
	sum := content.Sum(r.PathValue("sum"))
	if sleep(r.Context(), s.dice.Now().BlockDelay) != nil {
		return
	}
	if s.refuseRequest(w, map[string]string{http.MethodGet: faults.BlockGet, http.MethodPut: faults.BlockPut}[r.Method]) {
		return
	}
	if refusal := s.refuseBlock(r, sum); refusal != "" {
		s.log.Info("block refused", "method", r.Method, "sum", sum, "why", refusal)
		http.Error(w, refusal, http.StatusForbidden)
		return
	}
	if r.Method == http.MethodPut {
		s.putBlock(w, r, sum)
		return
	}
	s.getBlock(w, r, sum)
}

// getBlock sends what the address means.
func (s *Server) getBlock(w http.ResponseWriter, r *http.Request, sum content.Sum) {
	whole, err := s.content.Open(sum)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer whole.Close()
	body := io.ReadSeeker(whole) // which the kernel sends by itself
	digest, _ := hex.DecodeString(string(sum))
	if part, isWhole, err := pieceOf(whole, r.URL.Query()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	} else if !isWhole {
		sum := sha256.Sum256(part)
		body, digest = bytes.NewReader(part), sum[:]
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":") // RFC 9530
	http.ServeContent(w, r, "", time.Time{}, body)
}

// pieceOf reads what an address means of a block, which is stored without the zero bytes at its end; isWhole says that
// this is what is stored, which is then not read.
func pieceOf(block *os.File, query url.Values) (piece []byte, isWhole bool, err error) {
	if !query.Has("start") {
		return nil, true, nil
	}
	start, _ := strconv.ParseInt(query.Get("start"), 10, 64)
	end, _ := strconv.ParseInt(query.Get("end"), 10, 64)
	info, err := block.Stat()
	if err != nil {
		return nil, false, err
	}
	padded := query.Has("padded")
	if start == 0 && (end == info.Size() || end > info.Size() && !padded) {
		return nil, true, nil
	}
	piece = make([]byte, end-start)
	if _, err := block.ReadAt(piece, start); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	if !padded {
		piece = volume.Trim(piece)
	}
	return piece, false, nil
}

// putBlock stores a block and answers what proves it, to be sent with the call that makes the file.
func (s *Server) putBlock(w http.ResponseWriter, r *http.Request, sum content.Sum) {
	hash := md5.New()
	body := io.Reader(http.MaxBytesReader(w, r.Body, maxUpload))
	blob := r.URL.Query().Has("md5")
	if blob {
		body = io.TeeReader(body, hash)
	}
	put := s.content.PutReader
	if s.dice.Now().TrustBlocks {
		put = s.content.PutTrusted
	}
	if err := put(body, sum); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if blob {
		w.Header().Set("ETag", `"`+hex.EncodeToString(hash.Sum(nil))+`"`) // which the Python client compares
	}
	fmt.Fprint(w, s.proof(sum))
}

// proof says that a block was transferred.
func (s *Server) proof(sum content.Sum) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.auth.sign("arrived " + string(sum))
}

// arrived says whether a block may be part of a file. One that was only transferred is not: its proof must come too.
func (s *Server) arrived(sum content.Sum, proof []byte) bool {
	if !s.content.Has(sum) {
		return false
	}
	if len(proof) > 0 {
		return string(proof) == s.proof(sum)
	}
	return s.inSomeVolume(sum)
}

func (s *Server) inSomeVolume(sum content.Sum) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.volumes.Find(func(v *volumeRecord) bool { return v.Tree.Has(sum) }) != nil
}
