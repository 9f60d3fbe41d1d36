"""Renderer: skinning, rasterisation, shading, keypoints, OpenPose drawing."""
import numpy as np, numba as nb, cv2, math
from synthetic_people.proto_rast import raster, vnormals
from synthetic_people.proto_people import *
from synthetic_people import proto_pose as PO
njit=nb.njit(cache=True,fastmath=True,nogil=True)
@njit
def skin_lbs(V,src,disp,wi,ww,G,out):
    for i in range(V.shape[0]):
        x=V[i,0];y=V[i,1];z=V[i,2]; s=src[i]
        if s>=0: x+=disp[s,0];y+=disp[s,1];z+=disp[s,2]
        a=0.;b=0.;c=0.
        for k in range(4):
            w=ww[i,k]
            if w>0:
                g=G[wi[i,k]]
                a+=w*(g[0,0]*x+g[0,1]*y+g[0,2]*z+g[0,3]); b+=w*(g[1,0]*x+g[1,1]*y+g[1,2]*z+g[1,3]); c+=w*(g[2,0]*x+g[2,1]*y+g[2,2]*z+g[2,3])
        out[i,0]=a;out[i,1]=b;out[i,2]=c
@njit
def fa_apply(disp,e,ptr,idx,d,used,scale):
    for i in used: disp[i,0]=0;disp[i,1]=0;disp[i,2]=0
    for k in range(e.shape[0]):
        w=e[k]*scale
        if w!=0.0:
            for j in range(ptr[k],ptr[k+1]):
                i=idx[j]; disp[i,0]+=w*d[j,0];disp[i,1]+=w*d[j,1];disp[i,2]+=w*d[j,2]
@njit
def project(X,cam,P):
    # cam: camx, camz, dist, f, cx, cy
    for i in range(X.shape[0]):
        d=X[i,1]+cam[2]; P[i,0]=cam[4]+cam[3]*(X[i,0]-cam[0])/d; P[i,1]=cam[5]-cam[3]*(X[i,2]-cam[1])/d; P[i,2]=d
@njit
def shadow_map(X,F,u,v,l,org,res,scale,zb):
    for i in range(res):
        for j in range(res): zb[i,j]=1e9
    for t in range(F.shape[0]):
        a=F[t,0];b=F[t,1];c=F[t,2]
        ax=(X[a,0]-org[0])*u[0]+(X[a,1]-org[1])*u[1]+(X[a,2]-org[2])*u[2]; ay=(X[a,0]-org[0])*v[0]+(X[a,1]-org[1])*v[1]+(X[a,2]-org[2])*v[2]
        bx=(X[b,0]-org[0])*u[0]+(X[b,1]-org[1])*u[1]+(X[b,2]-org[2])*u[2]; by=(X[b,0]-org[0])*v[0]+(X[b,1]-org[1])*v[1]+(X[b,2]-org[2])*v[2]
        cx=(X[c,0]-org[0])*u[0]+(X[c,1]-org[1])*u[1]+(X[c,2]-org[2])*u[2]; cy=(X[c,0]-org[0])*v[0]+(X[c,1]-org[1])*v[1]+(X[c,2]-org[2])*v[2]
        az=-((X[a,0]-org[0])*l[0]+(X[a,1]-org[1])*l[1]+(X[a,2]-org[2])*l[2]);bz=-((X[b,0]-org[0])*l[0]+(X[b,1]-org[1])*l[1]+(X[b,2]-org[2])*l[2]);cz=-((X[c,0]-org[0])*l[0]+(X[c,1]-org[1])*l[1]+(X[c,2]-org[2])*l[2])
        h=res*.5; ax=ax*scale+h;bx=bx*scale+h;cx=cx*scale+h;ay=ay*scale+h;by=by*scale+h;cy=cy*scale+h
        area=(bx-ax)*(cy-ay)-(by-ay)*(cx-ax)
        if area==0: continue
        inv=1/area
        x0=max(0,int(math.ceil(min(ax,bx,cx)-.5)));x1=min(res-1,int(math.floor(max(ax,bx,cx)-.5)));y0=max(0,int(math.ceil(min(ay,by,cy)-.5)));y1=min(res-1,int(math.floor(max(ay,by,cy)-.5)))
        for y in range(y0,y1+1):
            for x in range(x0,x1+1):
                w1=((x+.5-ax)*(cy-ay)-(y+.5-ay)*(cx-ax))*inv
                if w1<0: continue
                w2=((bx-ax)*(y+.5-ay)-(by-ay)*(x+.5-ax))*inv
                if w2<0 or w1+w2>1: continue
                z=(1-w1-w2)*az+w1*bz+w2*cz
                if z<zb[y,x]: zb[y,x]=z
@njit
def samp(T,u,v,k):
    n=T.shape[0]; m=T.shape[1]; x=u*m-.5; y=v*n-.5; x0=int(math.floor(x)); y0=int(math.floor(y)); fx=x-x0; fy=y-y0
    a=x0%m; b=(x0+1)%m; c=y0%n; d=(y0+1)%n
    return (T[c,a,k]*(1-fx)+T[c,b,k]*fx)*(1-fy)+(T[d,a,k]*(1-fx)+T[d,b,k]*fx)*fy
@njit
def samp1(T,u,v):
    n=T.shape[0]; x=u*n-.5; y=v*n-.5; x0=int(math.floor(x)); y0=int(math.floor(y)); fx=x-x0; fy=y-y0
    a=x0%n; b=(x0+1)%n; c=y0%n; d=(y0+1)%n
    return (T[c,a]*(1-fx)+T[c,b]*fx)*(1-fy)+(T[d,a]*(1-fx)+T[d,b]*fx)*fy
@njit
def sstep(a,b,x):
    t=(x-a)/(b-a)
    if t<0: t=0.
    if t>1: t=1.
    return t*t*(3-2*t)
@njit
def shade(tid,bc,zb,F,mat,X,N,C,uv,cut,att,scalp,tex,face,dec,pal,par,eyec,noise,wrink,light,sm,smu,smv,org,smscale,cam,out,ss):
    """out [H/ss, W/ss, 4] premultiplied linear rgb + coverage. light: L(3), key rgb(3), sky rgb(3), ground rgb(3), rim(1)"""
    H,W=tid.shape; h=H//ss; w_=W//ss; inv=1.0/(ss*ss)
    Lx,Ly,Lz=light[0],light[1],light[2]; res=sm.shape[0]
    for i in range(h):
        for j in range(w_):
            for k in range(4): out[i,j,k]=0
    aor=max(3,H//42)
    col=np.zeros(3)
    for y in range(H):
        for x in range(W):
            t=tid[y,x]
            if t<0: continue
            a=F[t,0];b=F[t,1];c=F[t,2]; w1=bc[y,x,0];w2=bc[y,x,1];w0=1-w1-w2; m=mat[t]
            nx=w0*N[a,0]+w1*N[b,0]+w2*N[c,0];ny=w0*N[a,1]+w1*N[b,1]+w2*N[c,1];nz=w0*N[a,2]+w1*N[b,2]+w2*N[c,2]
            px=w0*X[a,0]+w1*X[b,0]+w2*X[c,0];py=w0*X[a,1]+w1*X[b,1]+w2*X[c,1];pz=w0*X[a,2]+w1*X[b,2]+w2*X[c,2]
            cx=w0*C[a,0]+w1*C[b,0]+w2*C[c,0];cy=w0*C[a,1]+w1*C[b,1]+w2*C[c,1];cz=w0*C[a,2]+w1*C[b,2]+w2*C[c,2]
            u=w0*uv[a,0]+w1*uv[b,0]+w2*uv[c,0];v=w0*uv[a,1]+w1*uv[b,1]+w2*uv[c,1]; ct=w0*cut[a]+w1*cut[b]+w2*cut[c]
            vx=cam[0]-px;vy=-cam[2]-py;vz=cam[1]-pz; l=math.sqrt(vx*vx+vy*vy+vz*vz); vx/=l;vy/=l;vz/=l
            l=math.sqrt(nx*nx+ny*ny+nz*nz)+1e-9; nx/=l;ny/=l;nz/=l
            if nx*vx+ny*vy+nz*vz<0 and m!=SKIN and m!=MOUTH: nx=-nx;ny=-ny;nz=-nz
            spec=0.; gloss=20.; wr=.05;wg=.05;wb=.05; ao=1.
            if m==SKIN:
                mot=.06*samp1(noise[0],cx*2.2+cy,cz*2.2)+.03*samp1(noise[1],cx*5,cz*5)
                for k in range(3): col[k]=pal[0,k]*(1+mot)
                lp=w0*att[a,0]+w1*att[b,0]+w2*att[c,0]; ea=w0*att[a,1]+w1*att[b,1]+w2*att[c,1]; el=w0*att[a,2]+w1*att[b,2]+w2*att[c,2]; im=w0*att[a,3]+w1*att[b,3]+w2*att[c,3]
                if cz>.54 and cy<-.045 and abs(cx)<.09:
                    fu=(cx+.09)/.18; fv=(.80-cz)/.26
                    al=samp(face,fu,fv,3)
                    if al>.003:
                        for k in range(3): col[k]=col[k]*(1-al)+samp(face,fu,fv,k)*al
                if ea>0.01: col[0]*=1+.05*ea;col[1]*=1-.16*ea;col[2]*=1-.16*ea
                if el>0.01: col[0]*=1-.22*el;col[1]*=1-.34*el;col[2]*=1-.32*el
                lp=sstep(.3,.85,lp)
                for k in range(3): col[k]=col[k]*(1-lp)+pal[1,k]*(1+.5*mot)*lp
                if im>.02:
                    im=sstep(.2,.8,im)
                    col[0]=col[0]*(1-im)+.10*im;col[1]=col[1]*(1-im)+.018*im;col[2]=col[2]*(1-im)+.018*im
                    ao*=1-.55*im
                sc=w0*scalp[a]+w1*scalp[b]+w2*scalp[c]
                if sc>0.01:
                    sc=sc*(.75+.3*samp1(noise[1],cx*4,cz*4+cy*4))
                    sc=min(1.,max(0.,sc))
                    for k in range(3): col[k]=col[k]*(1-sc)+pal[3,k]*sc
                spec=.05+.10*lp; gloss=18+20*lp; wr=.34;wg=.17;wb=.12
            elif m==EYE:
                e=0 if cx>0 else 1
                dx=cx-eyec[e,0];dy=cy-eyec[e,1];dz=cz-eyec[e,2]; l=math.sqrt(dx*dx+dy*dy+dz*dz)+1e-9; ang=math.acos(max(-1.,min(1.,-dy/l)))
                si=sstep(.44,.40,ang); pu=sstep(.20,.16,ang); lr=sstep(.34,.42,ang)
                for k in range(3):
                    s0=(.80,.77,.74)[k]*(1-.35*sstep(.5,1.0,ang)); ir=pal[2,k]*(1.3-.9*lr)*(1+.25*math.sin(math.atan2(dz,dx)*17))
                    ir=ir*(1-pu)+.006*pu; col[k]=s0*(1-si)+ir*si
                spec=.55; gloss=180; wr=.3;wg=.3;wb=.3
            elif m==TEETH:
                gap=.5+.5*math.cos(cx*2*math.pi/.0062); q=1-.25*sstep(.85,1.,gap)
                col[0]=.92*q;col[1]=.88*q;col[2]=.80*q; spec=.2; gloss=60; wr=.7;wg=.7;wb=.7
            elif m==MOUTH:
                col[0]=.42;col[1]=.13;col[2]=.13; spec=.15; gloss=30; wr=.2;wg=.2;wb=.2
            elif m==LASH:
                for k in range(3): col[k]=.012
            elif m==TOP or m==BOT or m==SKIRT:
                q=0 if m==TOP else 1; per=par[q]
                for k in range(3): col[k]=samp(tex[q],u/per,v/per,k)
                if m==TOP:
                    if pal[11,0]>=0 and abs(cx)>.135+(.40-cz)*.18 and cz>.0 and cz<.6:
                        for k in range(3): col[k]=pal[11,k]
                    if cy<-.02 and abs(cx)<.095 and cz>.20 and cz<.39:
                        du=(cx+.095)/.19; dv=(.39-cz)/.19; al=samp(dec,du,dv,3)
                        for k in range(3): col[k]=col[k]*(1-al)+samp(dec,du,dv,k)*al
                    if par[2]>0 and cy<-.0 and abs(cx)<.052-.10*(cz-.25)*0+.02*samp1(noise[2],.1,cz):
                        for k in range(3): col[k]=pal[5,k]
                        if abs(abs(cx)-.05)<.006: 
                            for k in range(3): col[k]*=.55
                    if ct<.016:
                        for k in range(3): col[k]=pal[4,k]
                        if ct<.0025 or (ct>.0135): 
                            for k in range(3): col[k]*=.6
                    if par[7]>0 and cy<-.02 and cz>.02 and cz<.13 and abs(cx)<.11:   # hoodie pocket outline
                        if abs(cz-.128)<.003 or abs(abs(cx)-(.11-(cz-.02)*.35))<.003:
                            for k in range(3): col[k]*=.6
                else:
                    if par[3]>0:
                        wv=samp1(noise[1],u*9,v*9)*.07+.25*samp1(noise[0],u*1.2,v*1.2)*.5
                        fade=.35*math.exp(-((abs(cx)-.11)/.035)**2)*(1 if cy<0 else .4)
                        for k in range(3): col[k]*=(1+wv)*(1+fade)
                        if abs(abs(cx)-.19)<.003 and cz<.0:
                            for k in range(3): col[k]*=.6
                    if ct<.014:
                        for k in range(3): col[k]*=.7
                    if m==BOT and cz>.07:
                        if abs(cz-.083)<.003:
                            for k in range(3): col[k]*=.55
                wa=par[5]*(1.1 if m!=SKIRT else .6)
                gx=samp(wrink,u*2.6+par[6],v*2.0+par[6]*3,0);gy=samp(wrink,u*2.6+par[6],v*2.0+par[6]*3,1)
                wa*=1.7
                # tangent frame approx: x ~ horizontal tangent, z ~ vertical tangent
                tx=-ny;ty=nx; l=math.sqrt(tx*tx+ty*ty)+1e-6; tx/=l;ty/=l
                nx-=wa*gx*tx;ny-=wa*gx*ty;nz-=wa*gy
                l=math.sqrt(nx*nx+ny*ny+nz*nz); nx/=l;ny/=l;nz/=l
                spec=.025; gloss=8; wr=.12;wg=.12;wb=.12
            elif m==SHOE:
                sole=cz<-.797
                for k in range(3): col[k]=pal[7,k] if sole else pal[6,k]
                if not sole and cy<-.10 and cy>-.19 and abs(abs(cx)-.18)<.025 and math.sin(cy*420)>.2:
                    for k in range(3): col[k]=pal[7,k]
                if ct<.012:
                    for k in range(3): col[k]*=.7
                spec=.08; gloss=20
            elif m==HAIR or m==BEARD:
                cur=par[4]
                st=samp1(noise[3],u*(1.3 if m==HAIR else 1.2)+.02*math.sin(v*30),v*(.8+3*cur)); st2=samp1(noise[1],u*3,v*6)
                lum=.3*pal[3,0]+.6*pal[3,1]+.1*pal[3,2]
                g=1+(.33-.22*min(1.,lum*3))*st+.14*st2*(1+2*cur)
                g=max(.25,g)
                for k in range(3): col[k]=pal[3 if m==HAIR else 10,k]*g
                # anisotropic-ish highlight: tangent = downwards projected on the surface
                dn=-nz; tx=-nx*dn*-1.;ty=-ny*dn*-1.;tz=-1-nz*dn
                l=math.sqrt(tx*tx+ty*ty+tz*tz)+1e-6;tx/=l;ty/=l;tz/=l
                hx=Lx+vx;hy=Ly+vy;hz=Lz+vz;l=math.sqrt(hx*hx+hy*hy+hz*hz)+1e-6
                th=(tx*hx+ty*hy+tz*hz)/l+.12*st; sp=math.sqrt(max(0.,1-th*th))**40
                hl=.16*sp*(1-.75*cur)*max(0.,nx*Lx+ny*Ly+nz*Lz+.3)*(0.4 if m==BEARD else 1.)
                for k in range(3): col[k]+=hl*(.35+.65*min(1.,pal[3,k]*3))
                ao*=.72+.28*sstep(-.03,.05,ct) if ct<.9 else 1.
                spec=0.;wr=.25;wg=.25;wb=.25
            elif m==ACC:
                for k in range(3): col[k]=pal[9,k]
                spec=.4;gloss=40
            elif m==HAT:
                g=1+.12*math.sin(u*2*math.pi*46)+.05*samp1(noise[1],u*4,v*8)
                for k in range(3): col[k]=pal[8,k]*g
                if ct<.03 and ct>-.1:
                    for k in range(3): col[k]*=.85
            # screen-space ambient occlusion
            z=zb[y,x]; occ=0.
            for q in range(8):
                ox=(1,0,-1,0,2,-2,2,-2)[q]*aor//(1 if q<4 else 1);oy=(0,1,0,-1,2,2,-2,-2)[q]*aor
                yy=y+oy;xx=x+ox
                if yy>=0 and xx>=0 and yy<H and xx<W:
                    d=z-zb[yy,xx]
                    if d>.006 and d<.25: occ+=min(1.,d/.05)*(1-d/.25)
            ao*=1-.5*min(1.,occ/5.)
            # shadow
            no=1.3/smscale
            qx=px+nx*no-org[0];qy=py+ny*no-org[1];qz=pz+nz*no-org[2]
            sx=(qx*smu[0]+qy*smu[1]+qz*smu[2])*smscale+res*.5; sy=(qx*smv[0]+qy*smv[1]+qz*smv[2])*smscale+res*.5
            sz=-(qx*Lx+qy*Ly+qz*Lz); sh=0.;cnt=0.
            bias=1.2/smscale if m!=EYE and m!=TEETH else .03
            if m==SKIN: bias=max(bias,.022)
            fx0=int(math.floor(sx-.5));fy0=int(math.floor(sy-.5)); ffx=sx-.5-fx0; ffy=sy-.5-fy0
            for q in range(4):
                ix=fx0+(q&1);iy=fy0+(q>>1); wq=(ffx if q&1 else 1-ffx)*(ffy if q>>1 else 1-ffy)
                if ix>=0 and iy>=0 and ix<res and iy<res:
                    if sm[iy,ix]<sz-bias: sh+=wq
            lit=1-.85*sh
            nd=nx*Lx+ny*Ly+nz*Lz
            dr=max(0.,(nd+wr)/(1+wr))*lit;dg=max(0.,(nd+wg)/(1+wg))*lit;db=max(0.,(nd+wb)/(1+wb))*lit
            up=.5+.5*nz
            hx=Lx+vx;hy=Ly+vy;hz=Lz+vz;l=math.sqrt(hx*hx+hy*hy+hz*hz)+1e-6; nh=max(0.,(nx*hx+ny*hy+nz*hz)/l)
            sp=spec*nh**gloss*lit*(1 if m!=EYE else 2.2)
            nv=max(0.,nx*vx+ny*vy+nz*vz); fr=(1-nv)**3*light[12]
            r=col[0]*(light[3]*dr+ao*(light[6]*up+light[9]*(1-up)))+sp*light[3]+fr*.25*(col[0]+.1)
            g=col[1]*(light[4]*dg+ao*(light[7]*up+light[10]*(1-up)))+sp*light[4]+fr*.25*(col[1]+.1)
            bb=col[2]*(light[5]*db+ao*(light[8]*up+light[11]*(1-up)))+sp*light[5]+fr*.25*(col[2]+.1)
            if m==TEETH: ao=.5+.5*ao
            if m==SKIN or m==TEETH or m==MOUTH: r*=.35+.65*ao;g*=.3+.7*ao;bb*=.3+.7*ao
            o=out[y//ss,x//ss]
            o[0]+=min(r,1.4)*inv;o[1]+=min(g,1.4)*inv;o[2]+=min(bb,1.4)*inv;o[3]+=inv
@njit
def compose(fg,bg,lut,out):
    H,W,_=fg.shape
    for y in range(H):
        for x in range(W):
            a=fg[y,x,3]
            for k in range(3):
                v=fg[y,x,k]+bg[y,x,k]*(1-a); v=v/(1+.12*v)*1.08
                i=int(v*1023)
                if i<0: i=0
                if i>1023: i=1023
                out[y,x,k]=lut[i]
LUT=np.round(255*np.where(np.linspace(0,1,1024)<=.0031308,12.92*np.linspace(0,1,1024),1.055*np.linspace(0,1,1024)**(1/2.4)-.055)).astype(np.uint8)

class Renderer:
    def __init__(s,person,size=128,ss=2,shadow=256):
        A=asset(); s.A=A; s.p=person; s.rig=PO.Rig(person); s.size=size; s.ss=ss; n=len(person.V); S=size*ss
        s.X=np.empty((n,3),np.float32); s.P=np.empty((n,3),np.float32); s.N=np.empty((n,3),np.float32); s.zb=np.empty((S,S),np.float32); s.tid=np.empty((S,S),np.int32); s.bc=np.empty((S,S,2),np.float32)
        s.disp=np.zeros((A.nv,3),np.float32); s.used=np.unique(A.fa_idx); s.out=np.empty((size,size,4),np.float32); s.sm=np.empty((shadow,shadow),np.float32)
        s.fd=A.fa_d.astype(np.float32); s.rgb=np.empty((size,size,3),np.uint8)
        s.faceS=person.hsc; s.tipb=[A.B[f'finger{k}-3.{sd}'] for sd in'LR' for k in range(1,6)]
        s.smspan=2.6; s.shoe=np.where(person.C[:,2]<-.78)[0]
    def camera(s,frame,poses=None,dist=3.2,jit=(0,0,0)):
        """frame: 'full','knee','half','bust','head' -> fixed for a clip."""
        A=s.A;B=A.B;h=s.p.heads; z=lambda n:h[B[n],2]
        top=s.p.R0[:13380,2].max(); hd=top-s.p.R0[A.lm[8,0],2]   # head height
        lo={'full':s.p.R0[:13380,2].min()-.25*hd,'knee':z('lowerleg01.L')-.2*hd,'half':z('upperleg01.L')-.3*hd,'bust':z('spine02')-.2*hd,'head':z('clavicle.L')-.45*hd,'face':s.p.R0[A.lm[8,0],2]-.45*hd}[frame]
        up={'full':1.5,'knee':1.25,'half':.95,'bust':.6,'head':.4,'face':.3}[frame]*hd
        span=(top+up-lo)*(1+jit[2]); cz=(top+up+lo)/2+jit[1]; S=s.size*s.ss
        if poses is not None and frame!='full':   # follow the mean neck position of the clip
            d=[]
            for po in poses:
                G=s.fk_ground(po); d.append(G[B['neck01'],:,:3]@h[B['neck01']]+G[B['neck01'],:,3]-h[B['neck01']])
            d=np.mean(d,0); jit=(jit[0]+d[0],jit[1],jit[2]); cz+=d[2]*{'knee':.4,'half':.7}.get(frame,1.)
        s.smspan=float(min(2.6,span*1.25+.3)); return np.array([jit[0],cz,dist,S*dist/span,S/2,S/2])
    def fk_ground(s,pose,ground=True):
        A=s.A; G=s.rig.fk(pose)
        if ground: # keep the lowest ankle at rest level (feet on the floor)
            z=min((G[A.B[b],2,:3]@s.p.heads[A.B[b]]+G[A.B[b],2,3])-s.p.heads[A.B[b]][2] for b in('foot.L','foot.R')); G[:,2,3]-=z-pose.get('jump',0.)
        G[:,0,3]+=pose.get('shift',0.); return G
    def draw(s,pose,expr,cam,light,bg,ground=True,lift=0.):
        A=s.A;p=s.p
        fa_apply(s.disp,expr,A.fa_ptr,A.fa_idx,s.fd,s.used,s.faceS)
        G=s.fk_ground(pose,ground); G[:,2,3]+=lift
        s.G=G; Gf=G.astype(np.float32)
        skin_lbs(p.V,p.src,s.disp,p.wi,p.ww,Gf,s.X)
        vnormals(s.X,p.F,s.N); project(s.X,cam,s.P); S=s.size*s.ss
        raster(s.P,p.F,p.cullf,p.cut,S,S,s.zb,s.tid,s.bc)
        L=light[:3]; u=nrm(np.cross(L,[0,0,1.])); v=np.cross(u,L); org=np.array([pose.get('shift',0.),-.1,cam[1] if s.smspan<2.2 else 0.]); 
        sc=s.sm.shape[0]/s.smspan; shadow_map(s.X,p.F,u.astype(np.float32),v.astype(np.float32),L.astype(np.float32),org,s.sm.shape[0],sc,s.sm)
        shade(s.tid,s.bc,s.zb,p.F,p.mat,s.X,s.N,p.C,p.uv,p.cut,p.att,p.scalp,p.tex,p.face_tex,p.decal,p.pal,p.par,p.eyec,NOISE,WRINK,light.astype(np.float32),s.sm,u.astype(np.float32),v.astype(np.float32),org.astype(np.float32),sc,cam,s.out,s.ss)
        compose(s.out,bg,LUT,s.rgb); return s.rgb
    def keypoints(s,cam):
        A=s.A;B=A.B;G=s.G;h=s.p.heads
        J=lambda n:G[B[n],:,:3]@h[B[n]]+G[B[n],:,3]
        lm=(s.X[A.lm]*A.lw[...,None]).sum(1)
        T=lambda n:G[B[n],:,:3]@s.p.tails[B[n]]+G[B[n],:,3]
        sh=[J('upperarm01.R'),J('upperarm01.L')]
        body=np.array([lm[30],(sh[0]+sh[1])/2,sh[0],J('lowerarm01.R'),J('wrist.R'),sh[1],J('lowerarm01.L'),J('wrist.L'),J('upperleg01.R'),J('lowerleg01.R'),J('foot.R'),J('upperleg01.L'),J('lowerleg01.L'),J('foot.L'),lm[68],lm[69],lm[70],lm[71]])
        hands=[]
        for sd in'LR':
            q=[J('wrist.'+sd)]
            for k in range(1,6): q+=[J(f'finger{k}-{i}.{sd}') for i in(1,2,3)]+[T(f'finger{k}-3.{sd}')]
            hands.append(q)
        allp=np.concatenate([body,np.array(hands).reshape(-1,3),lm[:70]]); P=np.empty((len(allp),3)); project(allp,cam,P); 
        S=s.size*s.ss; xi=np.clip(P[:,0].astype(int),0,S-1); yi=np.clip(P[:,1].astype(int),0,S-1); inside=(P[:,0]>=0)&(P[:,0]<S)&(P[:,1]>=0)&(P[:,1]<S)
        # visibility: body/hand points count as detected unless buried deep behind something; the face is all-or-nothing
        # (like DWPose/OpenPose, which regress hidden landmarks too); `occ` keeps the exact per-point depth test.
        zz=s.zb[yi,xi]; tol=np.concatenate([np.full(18,.45),np.full(42,.12),np.full(70,.03)]); occ=P[:,2]>zz+tol; vis=inside&~occ
        Rh=G[B['head'],:,:3]; facing=-(Rh@np.array([0,-1.,0]))[1]; side=(Rh@np.array([0,-1.,0]))[0]
        vis[60:]=inside[60:]&(facing>.12)&((~occ[60:]).mean()>.25)
        vis[[0,14,15]]=inside[[0,14,15]]&(facing>-.1); vis[16]=inside[16]&(side>-.55 if facing>0 else False) ; vis[17]=inside[17]&(side<.55 if facing>0 else False)
        if facing<=0: vis[16]=inside[16]; vis[17]=inside[17]
        P[:,:2]/=s.ss
        return P,vis
# ---------------------------------------------------------------- OpenPose drawing
LIMB=[(1,2),(1,5),(2,3),(3,4),(5,6),(6,7),(1,8),(8,9),(9,10),(1,11),(11,12),(12,13),(1,0),(0,14),(14,16),(0,15),(15,17)]
COL=[(255,0,0),(255,85,0),(255,170,0),(255,255,0),(170,255,0),(85,255,0),(0,255,0),(0,255,85),(0,255,170),(0,255,255),(0,170,255),(0,85,255),(0,0,255),(85,0,255),(170,0,255),(255,0,255),(255,0,170),(255,0,85)]
EDGES=[(0,1),(1,2),(2,3),(3,4),(0,5),(5,6),(6,7),(7,8),(0,9),(9,10),(10,11),(11,12),(0,13),(13,14),(14,15),(15,16),(0,17),(17,18),(18,19),(19,20)]
import colorsys
ECOL=[tuple(int(255*c) for c in colorsys.hsv_to_rgb(i/len(EDGES),1,1)) for i in range(len(EDGES))]
def draw_openpose(P,vis,size,up=2):
    """standard OpenPose/ControlNet style map (RGB), drawn at up x and area-averaged."""
    S=size*up; k=S/512.; im=np.zeros((S,S,3),np.uint8); Q=P[:,:2]*up; sw=max(1.,4*k)
    sh=4; pt=lambda q:(int(round(q[0]*16)),int(round(q[1]*16)))
    for (a,b),c in zip(LIMB,COL):
        if vis[a] and vis[b]:
            m=(Q[a]+Q[b])/2; d=Q[a]-Q[b]; L=np.hypot(*d); poly=cv2.ellipse2Poly((int(round(m[0])),int(round(m[1]))),(max(1,int(L/2)),max(1,int(round(sw)))),int(np.degrees(np.arctan2(d[1],d[0]))),0,360,8); cv2.fillConvexPoly(im,poly,c,cv2.LINE_AA)
    im=(im*.6).astype(np.uint8)
    for i in range(18):
        if vis[i]: cv2.circle(im,pt(Q[i]),int(max(1.5,4*k)*16),COL[i],-1,cv2.LINE_AA,shift=4)
    for hnd in range(2):
        o=18+21*hnd
        for (a,b),c in zip(EDGES,ECOL):
            if vis[o+a] and vis[o+b]: cv2.line(im,pt(Q[o+a]),pt(Q[o+b]),c,max(1,int(round(2*k))),cv2.LINE_AA,shift=4)
        for i in range(21):
            if vis[o+i]: cv2.circle(im,pt(Q[o+i]),int(max(1.,2.2*k)*16),(0,0,255),-1,cv2.LINE_AA,shift=4)
    for i in range(60,130):
        if vis[i]: cv2.circle(im,pt(Q[i]),int(max(.8,2.2*k)*16),(255,255,255),-1,cv2.LINE_AA,shift=4)
    return cv2.resize(im,(size,size),interpolation=cv2.INTER_AREA) if up>1 else im
# ---------------------------------------------------------------- backgrounds & lights
def background(rng,size,horizon,plain=False):
    """linear RGB float32 background; horizon in pixels (floor line)."""
    n=size*2; y,x=np.mgrid[0:n,0:n]/n; hz=horizon/size
    c1=srgb2lin(np.clip(cloth_color(rng)*.5+.42,0,1) if rng.random()<.75 else cloth_color(rng)); kind=rng.choice(['wall','room','brick','outdoor','studio','curtain'],p=[.16,.36,.1,.2,.1,.08])
    if plain: kind=rng.choice(['wall','studio'])
    B=np.ones((n,n,3))*c1; nz=cv2.resize(tnoise(128,(3,6,12),rng),(n,n),interpolation=cv2.INTER_CUBIC)
    B*=(1+.05*nz)[...,None]; gx,gy=rng.normal(0,.35,2); B*=np.clip(1+gx*(x-.5)+gy*(y-.5),.3,2)[...,None]
    fill=lambda x0,y0,x1,y1,c:B.__setitem__((slice(max(0,int(y0*n)),max(0,int(y1*n))),slice(max(0,int(x0*n)),max(0,int(x1*n)))),c)
    if kind=='brick':
        bh=rng.uniform(.03,.06); bw=bh*2.4; r=np.floor(y/bh).astype(int); q=(x+(r%2)*bw/2)/bw; qi=np.floor(q).astype(int); m=((q-qi)<.05)|((y/bh-r)<.1); jit=rng.random((200,200)); B*=(.8+.4*jit[r%200,qi%200])[...,None]; B[m]=B[m]*.4+.25
    if kind=='curtain': B*=(1+.3*np.sin(x*rng.uniform(40,110)+2*np.sin(x*9)))[...,None]
    if kind=='outdoor':
        sky=srgb2lin(np.array([.45,.65,.92])*rng.uniform(.7,1.08)); sky=np.clip(sky,0,1); t=np.clip(y/max(hz,.2),0,1)[...,None]; B[:]=sky*(1-.6*t)+.85*.6*t; B+=np.clip(nz-.3,0,1)[...,None]*.15*(1-t)
        for layer in range(3):
            h=hz-(.28-.09*layer)*rng.uniform(.4,1.3)+.06*cv2.resize(tnoise(64,(4,8,16),rng)[:1],(n,1))[0]; col=srgb2lin(hsv(rng.uniform(.22,.4) if rng.random()<.7 else rng.random(),rng.uniform(.2,.6),rng.uniform(.25,.6))); m=y>h[None]; tx=(1+.25*tnoise(128,(16,32,64),rng)); B[m]=(col*cv2.resize(tx,(n,n))[...,None])[m]
        if rng.random()<.5:
            for _ in range(rng.integers(2,6)):
                x0=rng.uniform(-.1,.9); w=rng.uniform(.08,.25); y0=hz-rng.uniform(.2,.7); c=srgb2lin(np.clip(cloth_color(rng)*.4+.4,0,1)); fill(x0,y0,x0+w,hz,c)
                for wy in np.arange(y0+.03,hz-.03,.06):
                    for wx in np.arange(x0+.02,x0+w-.03,.045): fill(wx,wy,wx+.02,wy+.03,c*.35 if rng.random()<.8 else np.array([.8,.7,.4]))
    if kind=='room':
        if rng.random()<.35:  # wallpaper
            p=pattern(rng,rng.choice(['vstripe','dots','floral','diag']),64)[0]; k=rng.uniform(5,12); xi=((x*k)%1*63).astype(int);yi=((y*k)%1*63).astype(int); B=B*.75+p[yi,xi]*.25
        for _ in range(rng.integers(1,5)):
            o=rng.choice(['picture','window','shelf','door','lamp','plant']); x0=rng.uniform(-.05,.85); y0=rng.uniform(.02,.4); c=srgb2lin(cloth_color(rng))
            if o=='picture': w,h=rng.uniform(.1,.26,2); fill(x0,y0,x0+w,y0+h,c*.3); fill(x0+.015,y0+.015,x0+w-.015,y0+h-.015,srgb2lin(np.clip(cloth_color(rng)+.1,0,1))); fill(x0+.04,y0+h*.5,x0+w-.04,y0+h-.03,c)
            if o=='window':
                w=rng.uniform(.2,.34);h=rng.uniform(.28,.5); fill(x0,y0,x0+w,y0+h,np.array([.8,.8,.78])); s=srgb2lin(np.array([.6,.78,.97])*rng.uniform(.6,1.05)).clip(0,1); 
                for a in(0,1):
                    for b in(0,1): fill(x0+.015+a*w/2,y0+.015+b*h/2,x0+w/2+a*w/2-.015,y0+h/2+b*h/2-.015,s*(1.1-.15*b))
            if o=='shelf':
                w=rng.uniform(.22,.4); wood=srgb2lin(np.array([.45,.3,.18])*rng.uniform(.6,1.5)).clip(0,1)
                for k in range(rng.integers(1,5)):
                    yy=y0+.05+k*.14; xx=x0+.01
                    while xx<x0+w-.03: bw=rng.uniform(.01,.03); bh=rng.uniform(.05,.1); fill(xx,yy-bh,xx+bw,yy,srgb2lin(cloth_color(rng))); xx+=bw+.003
                    fill(x0,yy,x0+w,yy+.018,wood)
            if o=='door': fill(x0,hz-.75,x0+.3,hz,c*.6+.15); fill(x0+.03,hz-.70,x0+.27,hz-.42,c*.5+.1); fill(x0+.03,hz-.36,x0+.27,hz-.04,c*.5+.1)
            if o=='lamp': fill(x0+.05,y0+.1,x0+.06,hz,np.full(3,.05)); fill(x0,y0,x0+.11,y0+.11,np.array([1.,.85,.55])); B+=(np.exp(-(((x-x0-.055)/.2)**2+((y-y0-.05)/.2)**2))*.35)[...,None]*np.array([1.,.8,.5])
            if o=='plant':
                g=srgb2lin(np.array([.2,.45,.18])*rng.uniform(.6,1.5)).clip(0,1); im=np.zeros((n,n),np.uint8)
                for _k in range(22): a=rng.uniform(-2.6,-.5); l=rng.uniform(.08,.22); p0=(int((x0+.05)*n),int((hz-.1)*n)); p1=(int((x0+.05+np.cos(a)*l)*n),int((hz-.1+np.sin(a)*l)*n)); cv2.line(im,p0,p1,255,max(1,int(n*.012)),cv2.LINE_AA)
                a=(im/255.)[...,None]; B=B*(1-a)+g*a*(.7+.5*rng.random()); fill(x0+.01,hz-.11,x0+.09,hz+.02,c*.7)
    if hz<1.05 and kind!='studio':
        fl=srgb2lin(np.array([.5,.36,.24])*rng.uniform(.5,1.6)).clip(0,.9) if kind!='outdoor' else srgb2lin(hsv(rng.choice([.28,.1,.6]),rng.uniform(.05,.4),rng.uniform(.35,.7))); m=y>=hz; d=np.clip((y-hz),1e-3,None); 
        fz=1/(d+.12); fx=(x-.5)*fz; tex=1+.12*cv2.resize(tnoise(128,(8,16,32),rng),(n,n))
        if kind!='outdoor':
            k=rng.integers(3)
            if k==0: tex=tex*(.82+.3*((np.floor(fx*9)*7919%13)/13))*np.where((fx*9)%1<.06,.6,1)
            if k==1: tex=tex*np.where((np.floor(fx*4)+np.floor(fz*2.2))%2>0,1.15,.75)
        B[m]=(fl*tex[...,None])[m]
        if kind!='outdoor': mm=(y>hz-.02)&(y<hz); B[mm]=B[mm]*.2+.5
    if kind=='studio': B[:]=c1; B*=np.clip(1.25-1.1*np.hypot(x-.5,y-.45),.2,2)[...,None]; 
    B=cv2.resize(np.clip(B,0,1.2).astype(np.float32),(size,size),interpolation=cv2.INTER_AREA); bl=rng.choice([0,.6,1.2,2.2])*size/256
    if bl>0: B=cv2.GaussianBlur(B,(0,0),bl)
    return np.ascontiguousarray(B*rng.uniform(.55,1.0),np.float32),str(kind),B.mean((0,1))
def lighting(rng):
    az=rng.uniform(-1.1,1.1); el=rng.uniform(.25,1.0); L=np.array([np.sin(az)*np.cos(el),-np.cos(az)*np.cos(el),np.sin(el)]); warm=rng.normal(0,.10); k=rng.uniform(.8,1.25); key=k*np.array([1+warm,1,1-warm]); amb=rng.uniform(.38,.65); w2=rng.normal(0,.05); sky=amb*np.array([1-w2,1,1+w2]); gr=sky*rng.uniform(.4,.8)*np.array([1.05,1,.92])
    return np.concatenate([L,key,sky,gr,[rng.choice([0,.5,1.])]])
