// A small RTSP server for the tests: takes streams from publishers on loopback and hands them to readers.
//
// Usage: rtspd RTSP_PORT RTP_PORT
//
// RTP_PORT is even; the next port is RTCP's. A path that begins with "private" asks readers for the user "cam" with
// the password "secret". Each line on standard input sets a fault: "lose N" loses each Nth packet of the readers, and
// "lose 0" none. The server ends with its standard input.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"github.com/pion/rtp"
)

type handler struct {
	server  *gortsplib.Server
	mutex   sync.RWMutex
	streams map[string]*gortsplib.ServerStream
	owners  map[*gortsplib.ServerSession]string
	lose    atomic.Int64
}

func name(path string) string { return strings.Trim(path, "/") }

func (h *handler) find(path string) (*base.Response, *gortsplib.ServerStream, error) {
	h.mutex.RLock()
	defer h.mutex.RUnlock()
	stream := h.streams[name(path)]
	if stream == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, stream, nil
}

func (h *handler) OnSessionClose(ctx *gortsplib.ServerHandlerOnSessionCloseCtx) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if path, owns := h.owners[ctx.Session]; owns {
		h.streams[path].Close()
		delete(h.streams, path)
		delete(h.owners, ctx.Session)
	}
}

func (h *handler) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if strings.HasPrefix(name(ctx.Path), "private") && !ctx.Conn.VerifyCredentials(ctx.Request, "cam", "secret") {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return h.find(ctx.Path)
}

func (h *handler) OnAnnounce(ctx *gortsplib.ServerHandlerOnAnnounceCtx) (*base.Response, error) {
	stream := &gortsplib.ServerStream{Server: h.server, Desc: ctx.Description}
	if err := stream.Initialize(); err != nil {
		return &base.Response{StatusCode: base.StatusBadRequest}, err
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.streams[name(ctx.Path)] = stream
	h.owners[ctx.Session] = name(ctx.Path)
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (h *handler) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if ctx.Session.State() == gortsplib.ServerSessionStatePreRecord {
		return &base.Response{StatusCode: base.StatusOK}, nil, nil
	}
	return h.find(ctx.Path)
}

func (h *handler) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func (h *handler) OnRecord(ctx *gortsplib.ServerHandlerOnRecordCtx) (*base.Response, error) {
	h.mutex.RLock()
	stream := h.streams[name(ctx.Path)]
	h.mutex.RUnlock()
	var packets int64
	ctx.Session.OnPacketRTPAny(func(media *description.Media, _ format.Format, packet *rtp.Packet) {
		packets++
		if every := h.lose.Load(); every > 0 && packets%every == 0 {
			return
		}
		if err := stream.WritePacketRTP(media, packet); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	return &base.Response{StatusCode: base.StatusOK}, nil
}

func main() {
	rtpPort, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	h := &handler{streams: map[string]*gortsplib.ServerStream{}, owners: map[*gortsplib.ServerSession]string{}}
	h.server = &gortsplib.Server{
		Handler:        h,
		RTSPAddress:    "127.0.0.1:" + os.Args[1],
		UDPRTPAddress:  fmt.Sprintf("127.0.0.1:%d", rtpPort),
		UDPRTCPAddress: fmt.Sprintf("127.0.0.1:%d", rtpPort+1),
	}
	if err := h.server.Start(); err != nil {
		panic(err)
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if every, err := strconv.ParseInt(strings.TrimPrefix(lines.Text(), "lose "), 10, 64); err == nil {
			h.lose.Store(every)
			fmt.Println("ok")
		}
	}
	h.server.Close()
}
